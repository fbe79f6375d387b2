package session

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/internal/message"
)

func (w *world) boot() *Boot {
	return &Boot{
		Info: w.info(5), Components: []string{"cart"},
		Routes: []*message.RoutingInfo{{Component: "stock", Replicas: []string{"tcp://b:1"}}},
	}
}

// TestBoot: a weavelet that has a record waits a second for a deployer, and then begins without one. A
// deployer that comes later finds it, one that has been succeeded does not.
func TestBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := time.Now()
		s, info, err := Dial(t.Context(), w.dial, w.boot(), slog.New(w.logs))
		if err != nil || info.Id != "cart-0.1" || s.Attended() || time.Since(before) != bootTime {
			t.Fatalf("after %v: %+v, %v", time.Since(before), info, err)
		}
		if err := s.Hello(&message.WeaveletInfo{DialAddr: "tcp://a:1"}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Keep(ctx, slog.New(w.logs)) })
		running.Go(func() { s.Serve(ctx, w.hosted) })
		defer running.Wait()
		defer s.Close()
		defer cancel()

		if conn, err := w.socket.Accept(); err != nil || conn.Close() != nil {
			t.Errorf("the connection that has waited for a deployer: %v", err)
		}
		if _, _, err := w.deployer(w.info(4)); err == nil || !strings.Contains(err.Error(), "epoch 4 has been succeeded") {
			t.Errorf("a deployer of epoch 4: %v", err)
		}
		_, told, err := w.deployer(w.info(6))
		if err != nil || told.Id != "cart-0.1" || !slices.Equal(told.Components, []string{"cart"}) {
			t.Errorf("the deployer is told %+v, %v", told, err)
		}
	})
}

// TestBootNotNeeded: with a deployer, the record means nothing.
func TestBootNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		info := w.info(6)
		info.Id = "cart-0.2"
		go func() {
			if _, _, err := w.deployer(info); err != nil {
				t.Error(err)
			}
		}()
		s, got, err := Dial(t.Context(), w.dial, w.boot(), slog.New(w.logs))
		if err != nil || got.Id != "cart-0.2" || !s.Attended() {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := s.Hello(&message.WeaveletInfo{DialAddr: "tcp://a:1"}); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

func TestReadBoot(t *testing.T) {
	var record bytes.Buffer
	want := newWorld(t).boot()
	if err := want.Write(&record); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadBoot(bytes.NewReader(record.Bytes())); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}

	empty := &Boot{Info: &message.EnvelopeInfo{}}
	var incomplete bytes.Buffer
	if err := empty.Write(&incomplete); err != nil {
		t.Fatal(err)
	}
	for text, data := range map[string]io.Reader{
		"lacks an EnvelopeInfo":        strings.NewReader(""),
		"lacks the application":        &incomplete,
		"cannot read the boot record:": bytes.NewReader(record.Bytes()[:record.Len()-1]),
		"more than 1048576 bytes":      io.MultiReader(strings.NewReader("\x00\x00\x20\x00"), endless{}),
	} {
		if _, err := ReadBoot(data); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// FuzzReadBoot: what can be read can be written, and read again. Strings that are not UTF-8 are corrected.
func FuzzReadBoot(f *testing.F) {
	var record bytes.Buffer
	boot := (&world{}).boot()
	if err := boot.Write(&record); err != nil {
		f.Fatal(err)
	}
	f.Add(record.Bytes())
	f.Add([]byte("\x00\x00\x00\x00"))
	var certificate bytes.Buffer
	if err := WriteCertificate(&certificate, &message.GetSelfCertificateReply{Cert: []byte("c"), Key: []byte("k")}); err != nil {
		f.Fatal(err)
	}
	f.Add(certificate.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if reply, err := ReadCertificate(bytes.NewReader(data)); err == nil {
			var out bytes.Buffer
			if err := WriteCertificate(&out, reply); err != nil {
				t.Fatal(err)
			}
			if again, err := ReadCertificate(&out); err != nil || !bytes.Equal(again.Key, reply.Key) {
				t.Errorf("%+v became %+v, %v", reply, again, err)
			}
		}

		b, err := ReadBoot(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := b.Write(&out); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadBoot(&out); err != nil || len(again.Components) != len(b.Components) || len(again.Routes) != len(b.Routes) {
			t.Errorf("%+v became %+v, %v", b, again, err)
		}
	})
}
