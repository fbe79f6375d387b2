package world

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/divisi-go/divisi/store/internal/server"
)

// TestCorrupt: a member whose keys have changed is found: at its start, as time goes by, and after a compaction. An
// alarm names it, it ends, and the others go on without it.
func TestCorrupt(t *testing.T) {
	for name, find := range map[string]func(*world, *member){
		"start": func(w *world, m *member) {
			w.crash(m)
			w.start(m)
		},
		"time": func(*world, *member) {},
		"compaction": func(w *world, m *member) {
			_, err := m.client.Compact(w.t.Context(), m.server.State.KV.Rev(), clientv3.WithCompactPhysical())
			if err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, 3, func(o *server.Options) {
					if name == "time" {
						o.CheckInterval = time.Minute / 2
					}
				})
				w.put(w.leader().client, 10)
				w.even()
				m := w.follower()
				damage(t, m)
				time.Sleep(time.Second) // until it is in the database
				find(w, m)
				err := w.ends(m)
				if !errors.Is(err, server.ErrCorrupt) {
					t.Fatalf("it has ended with %v", err)
				}
				w.gone(m)

				c := w.leader().client
				if name != "start" {
					alarms, err := c.AlarmList(t.Context())
					if err != nil || len(alarms.Alarms) != 1 || alarms.Alarms[0].MemberID != m.id {
						t.Fatalf("member %x is damaged, and the alarms are %v: %v", m.id, alarms, err)
					}
					_, err = c.Put(t.Context(), "k", "v")
					if !errors.Is(err, rpctypes.ErrCorrupt) {
						t.Errorf("a key is written with %v", err)
					}
					_, err = c.AlarmDisarm(t.Context(), (*clientv3.AlarmMember)(alarms.Alarms[0]))
					if err != nil {
						t.Fatal(err)
					}
				}
				w.put(c, 10)
				w.even()
			})
		})
	}
}

// damage changes the last value that a member has.
func damage(t *testing.T, m *member) {
	t.Helper()
	err := m.server.State.UseBackend(func(b backend.Backend) error {
		tx := b.BatchTx()
		tx.LockOutsideApply()
		defer tx.Unlock()
		first := mvcc.RevToBytes(mvcc.Revision{Main: 1}, mvcc.NewRevBytes())
		last := mvcc.RevToBytes(mvcc.Revision{Main: math.MaxInt64}, mvcc.NewRevBytes())
		keys, values := tx.UnsafeRange(schema.Key, first, last, math.MaxInt64)
		if len(keys) == 0 {
			return errors.New("there is no key")
		}
		value := append([]byte{}, values[len(values)-1]...)
		value[len(value)-1] ^= 1
		tx.UnsafePut(schema.Key, keys[len(keys)-1], value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
