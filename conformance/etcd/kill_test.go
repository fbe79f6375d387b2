package etcd

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var kills = flag.Int("kills", 4, "how often the store is killed")

// TestKill: what a store has answered stays true however often it is killed, a watch that begins where the last one ended
// sees every revision, once and in order, and no lease dies early or lives on.
func TestKill(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	address := freeAddress(t)
	p := serve(t, data, "--listen", address)
	r := try(t, clientv3.Config{Endpoints: []string{address}}, false)
	for range *kills {
		r.wait(50 + rand.IntN(100))
		_ = p.end(syscall.SIGKILL)
		p = serve(t, data, "--listen", address)
	}
	r.wait(50)
	if err := r.end(); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills: %s", *kills, r)
}
