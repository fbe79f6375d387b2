package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// login are the keys with which somebody logs in.
type login struct {
	to     destination
	agent  net.Conn // nil if there is none
	keys   []ssh.Signer
	names  []string // of keys, for people
	unused []string // why other keys are not among them
	asked  bool     // the machine was offered keys
}

// defaultKeys are the files with keys that OpenSSH looks for in ~/.ssh.
var defaultKeys = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// login finds the keys.
func (o Options) login(ctx context.Context, to destination) (*login, error) {
	l := &login{to: to}
	agents, err := l.ofAgent(ctx, o.Agent)
	if err != nil && o.Agent != "" {
		return nil, fmt.Errorf("the agent at %s does not answer: %w", o.Agent, err)
	}
	if err != nil {
		l.unused = append(l.unused, fmt.Sprintf("the agent of SSH_AUTH_SOCK does not answer: %v", err))
	}
	if len(o.Keys) == 0 {
		for _, key := range agents {
			l.add(key, "the agent")
		}
		l.addDefaults(agents)
	}
	for _, file := range o.Keys {
		key, err := read(file, agents)
		if err != nil {
			l.close()
			return nil, err
		}
		l.add(key, file)
	}
	if len(l.keys) > 0 {
		return l, nil
	}
	l.close()
	return nil, fmt.Errorf("there is no key to log in with%s: make one with ssh-keygen, and have it allowed with ssh-copy-id%s %s@%s, "+
		"or start an agent and give it one with ssh-add", l.others(), to.unless22(" -p "), to.user, to.host)
}

// ofAgent returns the keys of an agent.
func (l *login) ofAgent(ctx context.Context, socket string) ([]ssh.Signer, error) {
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	l.agent = conn
	if until, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(until) // an agent may stand still
	}
	return agent.NewClient(conn).Signers()
}

// addDefaults adds the keys in ~/.ssh that can be used.
func (l *login) addDefaults(agents []ssh.Signer) {
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	for _, name := range defaultKeys {
		key, err := read(filepath.Join(home, ".ssh", name), agents)
		switch {
		case err == nil:
			l.add(key, filepath.Join("~/.ssh", name))
		case !errors.Is(err, fs.ErrNotExist):
			l.unused = append(l.unused, err.Error())
		}
	}
}

// add adds a key, once.
func (l *login) add(key ssh.Signer, from string) {
	if find(l.keys, key.PublicKey()) == nil {
		l.keys = append(l.keys, key)
		l.names = append(l.names, ssh.FingerprintSHA256(key.PublicKey())+" of "+from)
	}
}

// find returns the one of some keys that has a public key, nil if there is none.
func find(keys []ssh.Signer, public ssh.PublicKey) ssh.Signer {
	for _, key := range keys {
		if public != nil && bytes.Equal(key.PublicKey().Marshal(), public.Marshal()) {
			return key
		}
	}
	return nil
}

// read reads the key in a file. One with a passphrase is that of the agent.
func read(file string, agents []ssh.Signer) (ssh.Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a key: %w", err)
	}
	if others := info.Mode().Perm() & 0o077; others != 0 {
		return nil, fmt.Errorf("the key %s can be read by others: chmod 600 %s", file, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read a key: %w", err)
	}

	key, err := ssh.ParsePrivateKey(text)
	var closed *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return key, nil
	case !errors.As(err, &closed):
		return nil, fmt.Errorf("the file %s has no private key: %w", file, err)
	}
	if key = find(agents, closed.PublicKey); key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("the key %s has a passphrase, and is not in the agent: ssh-add %s", file, file)
}

// signers returns the keys.
func (l *login) signers() ([]ssh.Signer, error) {
	l.asked = true
	return l.keys, nil
}

// refused says that the machine takes none of the keys.
func (l *login) refused(err error) error {
	return fmt.Errorf("it knows no user %s, or allows that user none of the keys %s%s: allow one with ssh-copy-id%s %s@%s (%w)",
		l.to.user, strings.Join(l.names, ", "), l.others(), l.to.unless22(" -p "), l.to.user, l.to.host, err)
}

// others says why there are not more keys.
func (l *login) others() string {
	if len(l.unused) == 0 {
		return ""
	}
	return " (" + strings.Join(l.unused, "; ") + ")"
}

// close leaves the agent.
func (l *login) close() {
	if l.agent != nil {
		l.agent.Close()
	}
}
