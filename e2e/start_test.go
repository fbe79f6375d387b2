package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// late is a program that takes its time, and greets everybody at the socket that it inherits from then on.
func late() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "late:", err)
			os.Exit(1)
		}
	}
	wait, err := time.ParseDuration(os.Args[1])
	fail(err)
	<-time.After(wait)

	l, err := net.FileListener(os.NewFile(3, "socket"))
	fail(err)
	for {
		conn, err := l.Accept()
		fail(err)
		fmt.Fprint(conn, "hello")
		conn.Close()
	}
}

// starts is how one starts programs in a home of its own.
type starts struct{ dir string }

func (s *starts) divisi(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "divisi"
	cmd.Env = append(os.Environ(), "DIVISI_HOME="+filepath.Join(s.dir, "home"), "XDG_RUNTIME_DIR="+s.dir)
	printed, err := cmd.CombinedOutput()
	return string(printed), err
}

// greeted starts a program that takes its time, and fails unless whoever dials next is greeted, and
// refused once the program is stopped.
func (s *starts) greeted(name, listen string) error {
	printed, err := s.divisi("start", name, "--listen", listen, "--", "late", rand.N(500*time.Millisecond).String())
	_, address, found := strings.Cut(printed, " listens at ")
	if err != nil || !found {
		return fmt.Errorf("%v\n%s", err, printed)
	}
	network, address := "tcp", strings.TrimSpace(address)
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if said, err := io.ReadAll(conn); err != nil || string(said) != "hello" {
		return fmt.Errorf("it says %q, %v", said, err)
	}

	if printed, err := s.divisi("stop", name); err != nil {
		return fmt.Errorf("%v\n%s", err, printed)
	}
	var refused *net.OpError
	if conn, err := net.Dial(network, address); !errors.As(err, &refused) {
		return fmt.Errorf("it is open after the end: %v, %v", conn, err)
	}
	return nil
}

// TestFirstDial: whoever dials after divisi start has returned is not refused, although the program is
// far from taking connections: what is open is the socket that it inherits. With DIVISI_SOAK it is done
// 200 times.
func TestFirstDial(t *testing.T) {
	t.Parallel()
	times := 3
	if os.Getenv("DIVISI_SOAK") != "" {
		times = 200
	}
	dir, err := os.MkdirTemp("", "dial") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &starts{dir: dir}
	t.Cleanup(func() {
		printed, err := s.divisi("keeper", "stop", "--yes")
		if err != nil && !strings.Contains(printed, "no keeper runs") {
			t.Errorf("%v\n%s", err, printed)
		}
	})

	kinds := []string{"127.0.0.1:0", "unix:", "[::1]:0"}
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Logf("without IPv6: %v", err)
		kinds = kinds[:2]
	} else {
		l.Close()
	}
	const atOnce = 6
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for n := range times {
		listen := kinds[n%len(kinds)]
		if listen == "unix:" {
			listen += filepath.Join(dir, fmt.Sprint(n))
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := s.greeted(fmt.Sprintf("late-%d", n), listen); err != nil {
				t.Errorf("%s: %v", listen, err)
			}
		})
	}
	all.Wait()
	t.Logf("%d starts, %d at once", times, atOnce)
}
