package notify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What a service says of itself.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	alive    = "WATCHDOG=1"
)

// supervisor is whom this process tells of itself. The zero value is nobody.
type supervisor struct {
	socket   string        // its path; a name of Linux's abstract namespace begins with @
	watchdog time.Duration // longest time without a sign of life; 0 if none is wanted
}

// parent is the supervisor that the environment names. The variables are taken out of it when it is
// first asked for: children of this process are not the service.
var parent = sync.OnceValue(func() supervisor {
	s := supervisor{socket: os.Getenv("NOTIFY_SOCKET")}
	pid := os.Getenv("WATCHDOG_PID")
	if pid == "" || pid == strconv.Itoa(os.Getpid()) {
		micros, _ := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
		s.watchdog = time.Duration(min(max(micros, 0), int64(24*time.Hour/time.Microsecond))) * time.Microsecond
	}
	for _, variable := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(variable)
	}
	return s
})

// Send tells the supervisor lines such as READY=1, in one datagram. Without a supervisor it does
// nothing.
func Send(lines ...string) error { return parent().send(lines...) }

func (s supervisor) send(lines ...string) error {
	if s.socket == "" {
		return nil
	}

	c, err := net.Dial("unixgram", s.socket)
	if err != nil {
		return fmt.Errorf("cannot tell the supervisor %s: NOTIFY_SOCKET=%s: %w", lines[0], s.socket, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("cannot tell the supervisor %s: %w", lines[0], err)
	}
	return nil
}

// Watchdog gives the supervisor the signs of life that it wants, twice as often, until ctx ends. If it
// wants none, Watchdog returns at once.
func Watchdog(ctx context.Context) { parent().serve(ctx) }

func (s supervisor) serve(ctx context.Context) {
	if s.watchdog <= 0 || s.socket == "" {
		return
	}

	tick := time.NewTicker(max(s.watchdog/2, time.Millisecond))
	defer tick.Stop()
	for {
		s.send(alive) // nobody else could be told of a failure, and the next one follows
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
