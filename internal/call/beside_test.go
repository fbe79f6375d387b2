package call_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// carry copies from one end to the other, 64 KB in a millisecond.
func carry(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err == nil {
			<-time.After(time.Duration(n) * time.Millisecond / (64 << 10))
			_, err = to.Write(b[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

// TestLargeBesideSmall: a message of 4 MB each way delays the short calls beside it by what is in the
// buffers of the link, and no more.
func TestLargeBesideSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		calltest.ServeMem(t, n, "a", call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
		var copies sync.WaitGroup
		p := newPool(t, balance.PoolOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := n.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			near, far := memnet.Pipe(64<<10, "near", "far")
			copies.Go(func() { carry(nc, far) })
			copies.Go(func() { carry(far, nc) })
			return near, nil
		}})
		p.SetReplicas([]string{"a"})

		began := time.Now()
		large := make(chan []byte, 1)
		args := bytes.Repeat([]byte("large!!!"), 512<<10)
		go func() { large <- calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: args}) }()
		small, longest := 0, time.Duration(0)
		for arrived := false; !arrived; small++ {
			sent := time.Now()
			calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}, Args: []byte("small")})
			longest = max(longest, time.Since(sent))
			select {
			case got := <-large:
				arrived = true
				if !bytes.Equal(got, args) {
					t.Error("the large message comes back changed")
				}
			case <-time.After(time.Millisecond):
			}
		}
		took := time.Since(began)
		calltest.Within(t, "4 MB there and back", took, 120*time.Millisecond, 250*time.Millisecond)
		if longest > 20*time.Millisecond {
			t.Errorf("one of %d short calls beside it took %v", small, longest)
		}
		p.Close()
		copies.Wait()
	})
}

// TestThousandHostile: a thousand connections that begin what they never finish, and read nothing, cost
// little memory, and nothing is left of them.
func TestThousandHostile(t *testing.T) {
	h := calltest.ServeUnix(t, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(t, balance.PoolOptions{}, h)
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})
	goroutines, before := runtime.NumGoroutine(), heap()

	const connections, each = 1000, 10 // messages of each
	attack := wire.AppendBind(nil, 0, codegen.Key{1})
	for i := range uint32(each) {
		attack = append(attack, request(i+1, wire.FlagMore, wire.AppendTotal(nil, 2<<20), []byte{0})...)
	}
	for i := range uint32(each) {
		attack = append(attack, request(each+i+1, 0, make([]byte, 100))...)
	}
	attack = append(attack, wire.Header{Call: 1, Length: 1000, Type: wire.TypeRequest}.Append(nil)...) // and no more
	var strangers []net.Conn
	for range connections {
		nc, err := link.Dial(t.Context(), h.Addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		strangers = append(strangers, nc)
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		o := link.Options{}.WithDefaults()
		if _, err := link.Greet(nc, &o); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(attack); err != nil {
			t.Fatal(err)
		}
	}
	calltest.Eventually(t, "all have been heard", func() bool { return h.Stats().Calls >= connections*each })
	if grown := (int64(heap()) - int64(before)) / connections; grown > 128<<10 {
		t.Errorf("the heap has grown by %d bytes for each connection", grown)
	}
	calltest.MustCall(t, p, &call.Request{Method: codegen.Key{1}})

	for _, nc := range strangers {
		nc.Close()
	}
	calltest.Eventually(t, "they are gone", func() bool { return h.Stats().Connections == 1 && runtime.NumGoroutine() <= goroutines })
	if left := h.Unfinished(); left != 0 {
		t.Errorf("%d bytes are held for messages that nobody will finish", left)
	}
	clear(strangers)
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("the heap has grown by %d bytes for good", grown)
	}
}
