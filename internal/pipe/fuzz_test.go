package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/divisi-go/divisi/envelope/protomsg"
	"github.com/divisi-go/divisi/envelope/protos"
)

// FuzzConversation lets both ends read anything. Whatever comes, they end once it does, leave no call
// waiting, and have sent whole messages, of which none answers what was not asked.
func FuzzConversation(f *testing.F) {
	stream := func(messages ...protos.Message) []byte {
		var b bytes.Buffer
		for _, m := range messages {
			if err := protomsg.Write(&b, m); err != nil {
				f.Fatal(err)
			}
		}
		return b.Bytes()
	}
	f.Add(stream(&protos.EnvelopeMsg{EnvelopeInfo: info}, &protos.EnvelopeMsg{Id: 7, GetHealthRequest: &protos.GetHealthRequest{}},
		&protos.EnvelopeMsg{Id: -1, ActivateComponentReply: &protos.ActivateComponentReply{}}))
	f.Add(stream(&protos.WeaveletMsg{WeaveletInfo: &protos.WeaveletInfo{DialAddr: "tcp://h:1"}}, &protos.WeaveletMsg{LogEntry: &protos.LogEntry{Msg: "m"}},
		&protos.WeaveletMsg{Id: -1, Error: "no"}, &protos.WeaveletMsg{Id: -1}, &protos.WeaveletMsg{Id: 5}, &protos.WeaveletMsg{Id: -1 << 63}))
	f.Add(stream(&protos.EnvelopeMsg{EnvelopeInfo: info}, &protos.EnvelopeMsg{Id: 7, GetHealthRequest: &protos.GetHealthRequest{}},
		&protos.EnvelopeMsg{Cancel: 7}, &protos.EnvelopeMsg{Id: 7, Cancel: 7}))
	f.Add(stream(&protos.EnvelopeMsg{EnvelopeInfo: &protos.EnvelopeInfo{Epoch: 3, Features: []string{"x"}}}))
	f.Add(stream(&protos.EnvelopeMsg{Error: "no"}))
	f.Add(append(stream(&protos.EnvelopeMsg{EnvelopeInfo: info}), 0xff, 0xff, 0xff, 0x03, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		var toEnvelope, toWeavelet sink
		if w, _, err := NewWeavelet(io.NopCloser(bytes.NewReader(data)), &toEnvelope); err == nil {
			if err := w.Hello(&protos.WeaveletInfo{DialAddr: "a"}); err != nil {
				t.Fatal(err)
			}
			converse(t, w.conn, &toEnvelope, data)
		}
		if w, _, err := NextWeavelet(io.NopCloser(bytes.NewReader(data)), &toEnvelope, info); err == nil {
			if err := w.Hello(&protos.WeaveletInfo{DialAddr: "a", Id: "w"}); err != nil {
				t.Fatal(err)
			}
		}
		if e, _, err := NewEnvelope(io.NopCloser(bytes.NewReader(data)), &toWeavelet, info); err == nil {
			converse(t, e.conn, &toWeavelet, data)
		}
	})
}

// sink keeps what is written.
type sink struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *sink) Close() error { return nil }

// converse serves one end of a conversation, of which the other is data, while it makes a call.
func converse[In, Out frame](t *testing.T, c *conn[In, Out], sent *sink, data []byte) {
	called := make(chan struct{})
	go func() {
		defer close(called)
		if _, err := c.call(t.Context(), c.newOut()); err != nil && err.Error() == "" {
			t.Error("a call failed without a reason")
		}
	}()
	err := c.serve(t.Context(), func(_ context.Context, m In) (Out, error) {
		if id, _ := c.split(m); id < 0 {
			t.Errorf("the reply %d was handled as a request", id)
		}
		return c.newOut(), nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("the conversation ended with %v", err)
	}
	<-called
	asked := map[int64]int{}
	for r := bytes.NewReader(data); ; {
		m := c.newIn()
		if protomsg.Read(r, m) != nil {
			break
		}
		id, _ := c.split(m)
		asked[-id]++
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for sent.buf.Len() > 0 {
		out := c.newOut()
		if err := protomsg.Read(&sent.buf, out); err != nil {
			t.Fatalf("what was sent is no message: %v", err)
		}
		var id int64
		switch m := any(out).(type) {
		case *protos.EnvelopeMsg:
			id = m.Id
		case *protos.WeaveletMsg:
			id = m.Id
		}
		if asked[id]--; id < 0 && asked[id] < 0 {
			t.Errorf("there is an answer %d that nobody has asked for", id)
		}
	}
}
