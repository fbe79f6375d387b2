package link

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// slowTrier takes part of what it is given, and only when it is told how much.
type slowTrier struct {
	net.Conn
	take chan int
}

func (s slowTrier) WriteNow(b, more []byte) (int, error) {
	all := append(append([]byte(nil), b...), more...)
	return s.Write(all[:min(<-s.take, len(all))])
}

// TestLent: a message has its memory back only when the write that reads it has ended, however the message
// ends, and what the write has left of it is a copy.
func TestLent(t *testing.T) {
	const size = 60_000
	for name, end := range map[string]func(l *Link, o *Outgoing){
		"written": func(*Link, *Outgoing) {},
		"dropped": func(l *Link, o *Outgoing) { l.Out.Drop(o) },
		"closed":  func(l *Link, o *Outgoing) { l.Fail(context.Canceled) },
	} {
		for _, taken := range []int{0, 5, wire.HeaderSize, 30_000, size + wire.HeaderSize} {
			synctest.Test(t, func(t *testing.T) {
				near, far := memnet.Pipe(4<<20, "a", "b")
				s := slowTrier{near, make(chan int)}
				o := Options{}.WithDefaults()
				l := New(s, &o, wire.Hello{Window: 4 << 20}, func() int { return 1 })
				body := make([]byte, size)
				for i := range body {
					body[i] = byte(i)
				}
				out := &Outgoing{Header: wire.Header{Call: 1, Type: wire.TypeResponse}, Body: body, Flow: &Outflow{}, Done: make(chan struct{})}
				go l.Out.SendMessage(out, Self)
				synctest.Wait()
				ended := make(chan bool)
				go func() {
					defer close(ended)
					end(l, out)
				}()
				synctest.Wait()
				select {
				case <-out.Done:
					t.Errorf("%s, %d bytes taken: it ends while it is being written", name, taken)
				default:
				}

				s.take <- taken
				<-out.Done
				clear(body)
				<-ended
				synctest.Wait()
				l.Fail(context.Canceled)
				if name == "closed" {
					return
				}
				f, err := wire.NewReader(far).Next()
				got := make([]byte, size)
				if err == nil && int(f.Length) == size {
					err = f.ReadBody(got)
				}
				if err != nil || got[size-1] != byte((size-1)%256) {
					t.Errorf("%s, %d bytes taken: a frame of %d bytes arrives, %v", name, taken, f.Length, err)
				}
			})
		}
	}
}
