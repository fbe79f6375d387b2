//go:build linux

package frame

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"testing"
)

// moved returns the connection that goes on with one that was paused, as another program has it.
func moved(t *testing.T, c *Conn, ended <-chan error) *Conn {
	t.Helper()
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrPaused) {
		t.Fatalf("the connection ended: %v", err)
	}

	socket, at := c.Paused()
	text, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	at = Paused{}
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatal(err)
	}
	file, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	again, err := net.FileConn(file)
	if err = errors.Join(err, file.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}

	return Resume(again.(*net.UnixConn), at)
}

// TestPause: another program goes on with a connection, and its peer notices nothing. What waits is
// asked there once more, and what was being done is answered first.
func TestPause(t *testing.T) {
	keepDescriptors(t)
	left, right := sockets(t)
	asked, release := make(chan string, 2), make(chan struct{})
	former := New(left)
	ended := serve(t, former, func(ctx context.Context, r *Request) (any, []*os.File, error) {
		asked <- r.Verb
		if r.Verb == "wait" {
			<-ctx.Done()
			close(release)
			return nil, nil, context.Cause(ctx)
		}
		<-release
		return "by the former one", nil, nil
	})
	peer := New(right)
	serve(t, peer, nil)

	answers := make(chan string, 2)
	for _, verb := range []string{"wait", "work"} {
		go func() {
			var got string
			if _, err := peer.Call(t.Context(), verb, nil, nil, &got); err != nil {
				got = err.Error()
			}
			answers <- verb + " " + got
		}()
		<-asked
	}
	next := moved(t, former, ended)
	if got := <-answers; got != "work by the former one" {
		t.Errorf("answered: %s", got)
	}
	serve(t, next, func(_ context.Context, r *Request) (any, []*os.File, error) {
		if !r.Again {
			t.Errorf("%s is asked as if it were new", r.Verb)
		}
		return "by the next one", nil, nil
	})
	if got := <-answers; got != "wait by the next one" {
		t.Errorf("answered: %s", got)
	}
}

// TestPauseWithinAFrame: the next program has what was read of a frame, with what came with it.
func TestPauseWithinAFrame(t *testing.T) {
	keepDescriptors(t)
	left, right := sockets(t)
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fds, err := copies([]*os.File{file})
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(`{"id":1,"verb":"take","files":1}` + "\n")
	begin := outgoing{line: line[:9], descriptors: fds}
	if err := begin.write(right, true); err != nil {
		t.Fatal(err)
	}

	c, came := New(left), make(chan int, 1)
	for _, b := range line[9:] {
		c = moved(t, c, serve(t, c, nil))
		if _, err := right.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, c, func(_ context.Context, r *Request) (any, []*os.File, error) {
		came <- len(r.Files)
		return nil, nil, nil
	})
	if n := <-came; n != 1 {
		t.Errorf("%d files came", n)
	}
}
