package link

import (
	"io"
	"testing"

	"github.com/divisi-go/divisi/internal/call/memnet"
	"github.com/divisi-go/divisi/internal/wire"
)

// FuzzServe lets a link read anything after the handshake while a message waits for credit. Whatever
// comes, it must end by itself once the connection does, and what it says must be frames.
func FuzzServe(f *testing.F) {
	f.Add(wire.AppendCredit(wire.AppendCredit(nil, 0, 1<<20), 1, 1<<20))
	f.Add(append(wire.AppendCredit(nil, 0, 1<<32-1), wire.AppendCredit(nil, 0, 1)...))
	f.Add(wire.AppendPing(wire.AppendPing(nil, wire.TypePing, [8]byte{7}), wire.TypePong, [8]byte{8}))
	f.Add(wire.GoAway{Text: "drain"}.Append(nil))
	f.Add(append(wire.Header{Call: 1, Type: wire.TypeData, Length: 10_000}.Append(nil), make([]byte, 10_000)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		near, far := memnet.Pipe(64<<10, "a", "b")
		o := Options{}.WithDefaults()
		l := New(near, &o, wire.Hello{Window: wire.MinWindow}, func() int { return 1 })
		out := &Outgoing{
			Header: wire.Header{Call: 1, Type: wire.TypeData}, Body: make([]byte, 200_000),
			Flow: &Outflow{Credit: wire.MinWindow}, Done: make(chan struct{}),
		}
		if err := l.Out.SendMessage(out, Other); err != nil {
			t.Fatal(err)
		}
		written := make(chan bool)
		go func() {
			defer close(written)
			far.Write(data)
			far.CloseWrite()
		}()
		said := make(chan error, 1)
		go func() {
			r := wire.NewReader(far)
			_, err := r.Next()
			for err == nil {
				_, err = r.Next()
			}
			io.Copy(io.Discard, far)
			said <- err
		}()

		err := l.Serve(func(f wire.Frame) error {
			if f.Type == wire.TypeCredit {
				return l.Grant(out.Flow, f)
			}
			body, err := l.Stay(f)
			if err == nil && len(body) != int(f.Length) {
				t.Errorf("a body of %d bytes has %d", f.Length, len(body))
			}
			return err
		})
		if err == nil || l.Cause() == nil {
			t.Errorf("the link ends with %v and for %v", err, l.Cause())
		}
		<-out.Done
		if err := <-said; err != io.EOF && err != io.ErrUnexpectedEOF {
			t.Errorf("it sends what is no frame: %v", err)
		}
		<-written
	})
}
