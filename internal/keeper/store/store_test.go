//go:build linux

package store_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/keeper/fork"
	"github.com/divisi-go/divisi/internal/keeper/store"
	"github.com/divisi-go/divisi/internal/notify"
)

// supervisor is one that keeps descriptors, as systemd does.
type supervisor struct {
	*notify.Server
	mu     sync.Mutex // guards what follows
	orders []string   // that it has heard
	kept   []*os.File
}

func supervise(t *testing.T) *supervisor {
	t.Helper()
	server, err := notify.Listen(filepath.Join(t.TempDir(), "notify"))
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{Server: server}
	ctx, cancel := context.WithCancel(t.Context())
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(ctx, s.hear); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *supervisor) hear(m *notify.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.Store:
		s.orders = append(s.orders, "keep "+m.FDName)
		s.kept = append(s.kept, m.Take()...)
	case m.Remove:
		s.orders = append(s.orders, "drop "+m.FDName)
	}
}

func (s *supervisor) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders)
}

// said is what a store has to say.
type said struct {
	mu   sync.Mutex
	text string
}

func (s *said) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text += fmt.Sprintf(format, args...) + "\n"
}

// TestStore: once it has settled, the supervisor has heard every order in its order, and has what it is to
// keep, whatever has become of that here.
func TestStore(t *testing.T) {
	systemd, said := supervise(t), &said{}
	s := store.Open(notify.At(systemd.Path()), nil, said.say)
	var want []string
	for i := range uint64(50) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, i)
		w.Close()
		fd, err := fork.Descriptor(r)
		if err != nil {
			t.Fatal(err)
		}
		s.Keep(store.Socket(i), fd)
		r.Close()
		s.Drop(store.File(i, "state"))
		want = append(want, fmt.Sprint("keep socket-", i), fmt.Sprint("drop file-", i, "-state"))
	}
	s.Settle()

	if got := systemd.heard(); !slices.Equal(got, want) || said.text != "" {
		t.Fatalf("it has heard %q, and the store says %q", got, said.text)
	}
	for i, f := range systemd.kept {
		if text, err := io.ReadAll(f); err != nil || string(text) != fmt.Sprint(i) {
			t.Errorf("number %d is %q, %v", i, text, err)
		}
		f.Close()
	}
}

// TestBack: what was given back is taken by its name once, and the rest is closed and said.
func TestBack(t *testing.T) {
	systemd, said := supervise(t), &said{}
	var back []inherit.Descriptor
	for _, name := range []string{"socket-7", "file-1-a", "file-12-b", "file-1-file-2-x", "stranger", "socket-7"} {
		fd, err := fork.Dup(2)
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, inherit.Descriptor{Name: name, FD: fd})
	}
	s := store.Open(notify.At(systemd.Path()), back, said.say)

	if fd, ok := s.Take(store.Socket(7)); !ok || fd != back[0].FD {
		t.Errorf("the socket is %d, %v", fd, ok)
	}
	if fd, ok := s.Take(store.Socket(7)); ok {
		t.Errorf("it is taken twice, as %d", fd)
	}
	files := s.TakeFiles(1)
	want := []inherit.Descriptor{{Name: "a", FD: back[1].FD}, {Name: "file-2-x", FD: back[3].FD}}
	if !slices.Equal(files, want) {
		t.Errorf("the files are %v, want %v", files, want)
	}
	s.Clear()
	s.Settle()
	if got := systemd.heard(); !slices.Equal(got, []string{"drop file-12-b", "drop stranger"}) {
		t.Errorf("it has heard %q", got)
	}
	if strings.Count(said.text, "\n") != 2 || !strings.Contains(said.text, `"stranger"`) {
		t.Errorf("the store says %q", said.text)
	}
	for _, d := range append(files, back[0]) {
		os.NewFile(uintptr(d.FD), d.Name).Close()
	}
}

// TestGone: without a supervisor that listens nothing is kept, which is said, and nobody waits.
func TestGone(t *testing.T) {
	var said said
	s := store.Open(notify.At(filepath.Join(t.TempDir(), "gone")), nil, said.say)
	s.Keep(store.Socket(1), 2)
	s.Drop(store.Socket(1))
	s.Settle()
	if strings.Count(said.text, "cannot tell the supervisor") != 3 {
		t.Errorf("the store says %q", said.text)
	}

	var nobody *store.Store
	nobody.Keep("a", 2)
	nobody.Drop("a")
	nobody.Clear()
	nobody.Settle()
	if fd, ok := nobody.Take("a"); ok || nobody.TakeFiles(1) != nil {
		t.Errorf("there is a store: %d", fd)
	}
}
