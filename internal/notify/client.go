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

// Supervisor is whom a process tells of itself. The zero value is nobody: who tells it something does
// nothing.
type Supervisor struct {
	socket   string        // its path; a name of Linux's abstract namespace begins with @
	watchdog time.Duration // longest time without a sign of life; 0 if none is wanted
}

// The variables by which a supervisor makes itself known.
const (
	socketVar   = "NOTIFY_SOCKET"
	watchdogVar = "WATCHDOG_USEC"
	watchedVar  = "WATCHDOG_PID"
)

// Parent returns the supervisor that the environment names. The variables are taken out of it when it is
// first asked for: children of this process are not the service.
func Parent() Supervisor { return parent() }

var parent = sync.OnceValue(func() Supervisor {
	s := Supervisor{socket: os.Getenv(socketVar)}
	pid := os.Getenv(watchedVar)
	if pid == "" || pid == strconv.Itoa(os.Getpid()) {
		micros, _ := strconv.ParseInt(os.Getenv(watchdogVar), 10, 64)
		s.watchdog = time.Duration(min(max(micros, 0), int64(24*time.Hour/time.Microsecond))) * time.Microsecond
	}
	for _, variable := range []string{socketVar, watchdogVar, watchedVar} {
		os.Unsetenv(variable)
	}
	return s
})

// At returns the supervisor at a socket, which wants no signs of life.
func At(socket string) Supervisor { return Supervisor{socket: socket} }

// Exists reports whether there is a supervisor.
func (s Supervisor) Exists() bool { return s.socket != "" }

// Environment returns the variables by which another program in this process finds the supervisor.
func (s Supervisor) Environment() []string {
	if !s.Exists() {
		return nil
	}
	env := []string{socketVar + "=" + s.socket}
	if s.watchdog > 0 {
		env = append(env, watchdogVar+"="+strconv.FormatInt(s.watchdog.Microseconds(), 10))
	}
	return env
}

// Send tells the supervisor of this process lines such as READY=1, in one datagram. Without a
// supervisor it does nothing.
func Send(lines ...string) error { return Parent().Send(lines...) }

// Send tells the supervisor lines such as READY=1, in one datagram.
func (s Supervisor) Send(lines ...string) error {
	return s.tell(lines, func(c *net.UnixConn, text []byte) error {
		_, err := c.Write(text)
		return err
	})
}

// sendTime bounds how long a supervisor that is busy may delay what it is told.
const sendTime = time.Second

// tell has lines sent in one datagram.
func (s Supervisor) tell(lines []string, send func(*net.UnixConn, []byte) error) error {
	if !s.Exists() {
		return nil
	}

	c, err := net.Dial("unixgram", s.socket)
	if err != nil {
		return fmt.Errorf("cannot tell the supervisor %s: NOTIFY_SOCKET=%s: %w", lines[0], s.socket, err)
	}
	defer c.Close()
	err = c.SetWriteDeadline(time.Now().Add(sendTime))
	if err == nil {
		err = send(c.(*net.UnixConn), []byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		return fmt.Errorf("cannot tell the supervisor %s: %w", lines[0], err)
	}
	return nil
}

// Watchdog gives the supervisor of this process the signs of life that it wants, until ctx ends.
func Watchdog(ctx context.Context) { Parent().Watchdog(ctx, func() {}) }

// Watchdog gives the supervisor the signs of life that it wants, twice as often, until ctx ends. Before
// each one it calls a function, which hangs where the process does: then there is none. If the supervisor
// wants none, Watchdog returns at once.
func (s Supervisor) Watchdog(ctx context.Context, lives func()) {
	if s.watchdog <= 0 || !s.Exists() {
		return
	}

	tick := time.NewTicker(max(s.watchdog/2, time.Millisecond))
	defer tick.Stop()
	for {
		lives()
		s.Send(alive) // nobody else could be told of a failure, and the next one follows
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
