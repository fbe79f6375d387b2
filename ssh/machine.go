package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options say how a machine is reached, and what of it is used. The zero value has the defaults of OpenSSH.
type Options struct {
	Name string // what programs call the host; default the destination

	// Keys are files with private keys, of which one is allowed there. A key with a passphrase has to be in the agent as
	// well. By default the keys of the agent are tried, then id_ed25519, id_ecdsa and id_rsa in ~/.ssh.
	Keys []string

	// Agent is the socket of the agent that has keys; default that of SSH_AUTH_SOCK.
	Agent string

	// KnownHosts are files with the keys of machines; default ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts, as far as
	// they exist.
	KnownHosts []string

	// State is the state folder there, DIVISI_HOME; default that of the user.
	State string
}

// Machine is a machine that is reached by SSH. It is safe for concurrent use.
type Machine struct {
	to      destination
	options Options
	name    string

	turn chan struct{} // has room for who connects

	mu     sync.Mutex // guards what follows
	now    *line      // the last connection, nil before there is one
	closed bool
}

// ErrClosed is the error of a machine that is closed.
var ErrClosed = errors.New("the machine is closed")

// Open connects to a machine, "user@host:port", where the user is this one by default, and the port is 22. The errors say what
// to do about them.
func Open(ctx context.Context, to string, o Options) (*Machine, error) {
	d, err := parseDestination(to)
	if err != nil {
		return nil, err
	}
	m := &Machine{to: d, options: o, name: o.Name, turn: make(chan struct{}, 1)}
	if m.name == "" {
		m.name = to
	}
	if _, err := m.connection(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Close ends the connection. What runs there goes on.
func (m *Machine) Close() error {
	m.mu.Lock()
	m.closed = true
	now := m.now
	m.mu.Unlock()
	if now == nil {
		return nil
	}
	_ = now.client.Close() // it may have ended
	<-now.over
	return nil
}

// Name returns what programs call the host.
func (m *Machine) Name() string { return m.name }

// current returns the connection that there is, nil if there is none.
func (m *Machine) current() (*line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.now == nil || m.now.ended():
		return nil, nil
	}
	return m.now, nil
}

// connection returns the connection that there is, or a new one.
func (m *Machine) connection(ctx context.Context) (*line, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if now, err := m.current(); now != nil || err != nil {
		return now, err
	}
	next, err := m.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %v: %w", m.to, err)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = next.client.Close() // it is new
		return nil, ErrClosed
	}
	m.now = next
	return next, nil
}

const (
	maxWords = 4 << 10         // bytes of what a command says when it fails
	killTime = 2 * time.Second // that a command which is killed has to end, before nobody waits for it any more
)

// output passes on what a command says, as long as somebody waits for the command.
type output struct {
	mu   sync.Mutex // guards to; held while it is written to
	to   io.Writer
	most int // bytes that are passed on; 0 for all
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(p), nil
	}
	if o.most == 0 {
		return o.to.Write(p)
	}
	part := p[:min(len(p), o.most-1)]
	o.most -= len(part)
	_, err := o.to.Write(part)
	return len(p), err
}

// end has nothing more passed on.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = nil
}

// Run runs a command there by the shell of the user, and returns when it has ended, with all that holds its output: with an
// error if it could not be run or has not exited with 0. When ctx ends, it is killed.
func (m *Machine) Run(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	s, err := try(ctx, m, func(c *ssh.Client) (*ssh.Session, error) { return c.NewSession() })
	if err != nil {
		return err
	}
	defer s.Close()
	said := &bytes.Buffer{}
	plain, wrong := &output{to: out}, &output{to: said, most: maxWords}
	defer plain.end()
	defer wrong.end()
	s.Stdin, s.Stdout, s.Stderr = in, plain, wrong
	over := make(chan error, 1)
	go func() { over <- s.Run(m.command(args)) }()
	select {
	case err = <-over:
	case <-ctx.Done():
		_ = s.Signal(ssh.SIGKILL) // what cannot be told has ended, or cannot be reached
		select {
		case <-over:
		case <-time.After(killTime):
		}
		return context.Cause(ctx)
	}

	wrong.end()
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Signal() != "":
		return fmt.Errorf("killed by %s: %s", exit.Signal(), strings.TrimSpace(said.String()))
	case errors.As(err, &exit):
		return fmt.Errorf("exit code %d: %s", exit.ExitStatus(), strings.TrimSpace(said.String()))
	}
	return m.lost(err)
}

// lost returns the error of what the connection could not do.
func (m *Machine) lost(err error) error { return fmt.Errorf("the connection to %v: %w", m.to, err) }

// command returns a command in a form that a shell reads.
func (m *Machine) command(args []string) string {
	if m.options.State != "" {
		args = append([]string{"env", "DIVISI_HOME=" + m.options.State}, args...)
	}
	var b strings.Builder
	for _, arg := range args {
		b.WriteString(" '" + strings.ReplaceAll(arg, "'", `'\''`) + "'")
	}
	return b.String()[1:]
}

// Dial connects to a socket as a process there does: network is unix or tcp.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	far, err := try(ctx, m, func(c *ssh.Client) (net.Conn, error) { return c.Dial(network, address) })
	if refused := (*ssh.OpenChannelError)(nil); errors.As(err, &refused) {
		err = fmt.Errorf("nobody listens there, or the SSH server of %v forwards no connections: see AllowStreamLocalForwarding, "+
			"AllowTcpForwarding and DisableForwarding in its sshd_config (%s)", m.to, refused.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", address, err)
	}
	return timed(far)
}

// try opens something over the connection, over the next one if that has ended.
func try[T io.Closer](ctx context.Context, m *Machine, open func(*ssh.Client) (T, error)) (T, error) {
	var none T
	for again := true; ; again = false {
		l, err := m.connection(ctx)
		if err != nil {
			return none, err
		}
		value, err := opened(ctx, func() (T, error) { return open(l.client) })
		switch refused := (*ssh.OpenChannelError)(nil); {
		case err == nil:
			return value, nil
		case ctx.Err() != nil:
			return none, context.Cause(ctx)
		case !again || errors.As(err, &refused):
			return none, m.lost(err)
		}
		_ = l.client.Close() // whatever is left of it
		<-l.over
	}
}

// opened opens something. What is opened after the end of ctx is closed.
func opened[T io.Closer](ctx context.Context, open func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := open()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		go func() {
			if late := <-done; late.err == nil {
				_ = late.value.Close() // nobody has it
			}
		}()
		var none T
		return none, context.Cause(ctx)
	}
}
