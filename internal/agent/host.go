package agent

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/server"
)

// fileTime bounds how long a host may take for a file, and to tell what a server has said.
const fileTime = time.Minute

// Program is the program of which a machine becomes a host.
type Program struct {
	Name   string // for people
	Domain string
	Builds string // folder with builds of it for other systems, "" for that of this program
}

// Open returns the host that a machine is for a program, whose domain this process decides about there from then on, and the
// client that has the agent.
func Open(ctx context.Context, m Machine, p Program) (*Client, *server.Host, error) {
	c, err := newClient(m, p.Builds)
	if err != nil {
		return nil, nil, err
	}
	first, err := c.current(ctx)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	conn, err := m.Dial(ctx, "unix", first.Socket)
	if err != nil { // as where a machine forbids that
		c.Close()
		return nil, nil, fmt.Errorf("cannot use the host %v: %w", c, err)
	}
	conn.Close()
	who := fmt.Sprintf("%s (process %d, from another host)", p.Name, os.Getpid())
	k, err := door.AttachBy(ctx, c, keeper.Claim{Domain: p.Domain, Who: who, Take: true})
	if err != nil {
		c.Close()
		return nil, nil, err
	}

	there := first.greeting
	return c, &server.Host{
		Keeper: k, Data: there.Data, Logs: func(domain string) string { return path.Join(there.Logs, domain) },
		Home: home.Home{Dir: there.State, Runtime: there.Runtime},
		Find: c.find, Artifacts: place{c}, Files: files{c}, Observer: observer{c}, Environment: c.environment, Dial: c.DialIn,
	}, nil
}

// soon is call for who has no context.
func (c *Client) soon(verb string, a ask) (answer, error) {
	ctx, cancel := context.WithTimeout(c.ctx, fileTime)
	defer cancel()
	return c.call(ctx, verb, a)
}

func (c *Client) find(word string) (server.Program, error) {
	done, err := c.soon("find", ask{Path: word})
	if err == nil && done.Program == nil {
		err = fmt.Errorf("the agent of %v says nothing of the program %s", c, word)
	}
	if err != nil {
		return server.Program{}, err
	}
	return *done.Program, nil
}

func (c *Client) environment(own []string, user string) ([]string, error) {
	done, err := c.soon("environment", ask{Own: own, User: user})
	return done.Own, err
}

// files are those of the host.
type files struct{ *Client }

var _ server.Files = files{}

// MakeDir implements [server.Files].
func (f files) MakeDir(path string) error {
	_, err := f.soon("folder", ask{Path: path})
	return err
}

// Stat implements [server.Files].
func (f files) Stat(path string) (fs.FileInfo, error) {
	done, err := f.soon("stat", ask{Path: path})
	if err == nil && done.Info == nil {
		err = fmt.Errorf("the agent of %v says nothing of %s", f, path)
	}
	if err != nil {
		return nil, err
	}
	return *done.Info, nil
}

// ReadFile implements [server.Files].
func (f files) ReadFile(path string) ([]byte, error) {
	done, err := f.soon("read", ask{Path: path})
	return done.Content, err
}

// WriteFile implements [server.Files].
func (f files) WriteFile(path string, content []byte) error {
	if len(content) > maxFile {
		return fmt.Errorf("%d bytes are more than the %d that are written on another host at once", len(content), maxFile)
	}
	_, err := f.soon("write", ask{Path: path, Content: content})
	return err
}

// observer sees servers of the host.
type observer struct{ *Client }

var _ server.Observer = observer{}

// Ask implements [server.Observer].
func (o observer) Ask(ctx context.Context, q server.Question) error {
	_, err := o.call(ctx, "ready", ask{Question: &q})
	return err
}

// LastWords implements [server.Observer].
func (o observer) LastWords(q server.Question) string {
	done, err := o.soon("words", ask{Question: &q})
	if err != nil {
		return fmt.Sprintf("\n  its log cannot be read: %v", err)
	}
	return done.Text
}

// Hear implements [server.Observer].
func (o observer) Hear(ctx context.Context, l server.Listening) ([]server.Said, error) {
	done, err := o.call(ctx, "hear", ask{Listening: &l})
	return done.Said, err
}

// Output implements [server.Observer].
func (o observer) Output(q server.Question) string {
	done, _ := o.soon("output", ask{Question: &q}) // what cannot be had is not shown
	return done.Text
}
