package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// serviceVar makes TestServiceProcess a service.
const serviceVar = "NOTIFY_TEST_SERVICE"

func TestServiceProcess(t *testing.T) {
	if os.Getenv(serviceVar) == "" {
		t.Skip("it is a process of TestService")
	}
	fmt.Println(Send(Ready, "STATUS=well"))
	for _, variable := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, ok := os.LookupEnv(variable); ok {
			fmt.Println("left", variable, value)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		Watchdog(ctx)
		close(watched)
	}()
	if os.Getenv(serviceVar) == "watched" {
		fmt.Scanln() // the test has heard enough
	}
	cancel()
	<-watched
	fmt.Println(Send(Stopping))
	os.Exit(0)
}

// supervise returns the socket of a supervisor.
func supervise(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	var b [1000]byte
	n, err := c.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestService(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no sockets of datagrams with paths")
	}
	names := map[string]func(t *testing.T) string{
		"a path": func(t *testing.T) string { return filepath.Join(t.TempDir(), "notify") },
	}
	if runtime.GOOS == "linux" {
		names["a name of the abstract namespace"] = func(*testing.T) string {
			return fmt.Sprintf("@divisi/notify/%d", os.Getpid())
		}
	}
	for what, name := range names {
		for role, env := range map[string][]string{
			"watched":     {"WATCHDOG_USEC=2000"},
			"not watched": {"WATCHDOG_USEC=2000", "WATCHDOG_PID=1"}, // another process is
			"alone":       nil,
		} {
			t.Run(what+", "+role, func(t *testing.T) {
				name := name(t)
				supervisor := supervise(t, name)
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServiceProcess$")
				cmd.Env = append(os.Environ(), append(env, serviceVar+"="+role, "NOTIFY_SOCKET="+name, "GORACE=atexit_sleep_ms=0")...)
				var out strings.Builder
				cmd.Stdout = &out
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, supervisor); got != "READY=1\nSTATUS=well" {
					t.Errorf("it says %q first", got)
				}
				if role == "watched" {
					for range 3 {
						if got := receive(t, supervisor); got != alive {
							t.Errorf("it says %q while it is watched", got)
						}
					}
				}
				fmt.Fprintln(in)
				got := receive(t, supervisor)
				for got == alive && role == "watched" {
					got = receive(t, supervisor)
				}
				if got != Stopping {
					t.Errorf("it says %q last", got)
				}
				if err := cmd.Wait(); err != nil || out.String() != "<nil>\n<nil>\n" {
					t.Errorf("%v, and it prints %q", err, out.String())
				}
			})
		}
	}
}

func TestNobody(t *testing.T) {
	var nobody Supervisor
	if err := nobody.Send(Ready); err != nil || nobody.Exists() || nobody.Environment() != nil {
		t.Errorf("%v, %v", err, nobody.Environment())
	}
	nobody.Watchdog(t.Context(), nil)
	gone := At(filepath.Join(t.TempDir(), "gone"))
	if err := gone.Send(Ready); err == nil || !strings.Contains(err.Error(), "READY=1: NOTIFY_SOCKET="+gone.socket) {
		t.Errorf("a supervisor that has gone: %v", err)
	}
}

// TestEnvironment: another program in the same process finds the same supervisor.
func TestEnvironment(t *testing.T) {
	s := Supervisor{socket: "/run/notify", watchdog: 20 * time.Millisecond}
	if got := strings.Join(s.Environment(), " "); got != "NOTIFY_SOCKET=/run/notify WATCHDOG_USEC=20000" {
		t.Errorf("the environment is %s", got)
	}
}
