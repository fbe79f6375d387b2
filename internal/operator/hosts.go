package operator

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/tree"
)

// Place is a host that a program uses.
type Place struct {
	Name string
	*server.Host
}

// serversTime bounds the wait for the keepers.
const serversTime = time.Second

// servers returns those of the program on all hosts, as the keepers have them. Of a host whose keeper does not answer it
// is what was known last.
func (f *Front) servers(members []control.Member) []control.ReplicaStatus {
	ctx, cancel := context.WithTimeout(context.Background(), serversTime)
	defer cancel()
	places := f.Hosts()
	lists := make([][]keeper.Proc, len(places))
	gone := map[string]string{} // why nobody answers there
	for _, m := range members {
		switch tree.Kind(m.HostIs) {
		case "":
		case tree.Away:
			gone[m.Host] = "its keeper is away"
		default:
			gone[m.Host] = "its host is " + m.HostIs
		}
	}
	var all sync.WaitGroup
	for i, p := range places {
		all.Go(func() { lists[i] = f.list(ctx, p, gone[p.Name] == "") })
	}
	all.Wait()

	rows := []control.ReplicaStatus{}
	for i, p := range places {
		for _, s := range lists[i] {
			if s.Labels[server.LabelApp] != "" {
				continue // its application has a door of its own
			}
			row := Row(f.Name, s)
			row.Host = p.Name
			if why := gone[p.Name]; why != "" {
				row.Failing = why
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// list returns the servers of a host, as they were last if nobody is to be asked, or does not answer.
func (f *Front) list(ctx context.Context, p Place, ask bool) []keeper.Proc {
	var now []keeper.Proc
	known := false
	if ask {
		list, err := p.Keeper.List(ctx, f.Domain) // the error is said by whatever needs the keeper
		now, known = list, err == nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known {
		f.last[p.Name] = now
	}
	return f.last[p.Name]
}

// Bounds of what is heard of other hosts.
const (
	hearTime  = 5 * time.Second        // that a host may take for an answer
	hearEvery = 300 * time.Millisecond // it is asked for more
)

// elsewhere hands on what the servers on other hosts say.
func (f *Front) elsewhere(ctx context.Context, v url.Values, emit func(any) error) error {
	h := control.HearingOf(v)
	var mu sync.Mutex // held while something is handed on
	say := func(line control.Line) error {
		mu.Lock()
		defer mu.Unlock()
		return emit(line)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var told, all sync.WaitGroup
	for _, p := range f.Hosts() {
		if p.Name == control.Local {
			continue
		}
		told.Add(1)
		all.Go(func() {
			once := sync.OnceFunc(told.Done)
			defer once()
			if err := f.hear(ctx, p, h, say, once); err != nil {
				cancel(err)
			}
		})
	}
	told.Wait()
	err := say(control.Line{Told: true})
	if err != nil {
		cancel(err)
	}
	all.Wait()
	return context.Cause(ctx)
}

// hear hands on what is said on a host, and calls told when what there was has been.
func (f *Front) hear(ctx context.Context, p Place, h control.Hearing, say func(control.Line) error, told func()) error {
	l := server.Listening{Folder: p.Logs(f.Domain), Last: h.Last, After: map[string]server.Mark{}}
	if h.Server != "" {
		l.Only = f.log(h.Server)
	}
	problem := ""
	for {
		heard, err := f.ask(ctx, p, l)
		if why := problemOf(err); why != problem {
			problem = why
			if err := say(control.Line{Host: p.Name, Problem: why}); err != nil {
				return err
			}
		}
		for _, said := range heard {
			l.After[said.Log] = said.Next
			if err := f.hand(p, said, say); err != nil {
				return err
			}
		}
		if len(heard) > 0 {
			continue
		}
		told()
		if !h.Follow {
			return nil
		}
		select {
		case <-time.After(hearEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// ask asks a host once for what is said there, unless it is known that it does not answer.
func (f *Front) ask(ctx context.Context, p Place, l server.Listening) ([]server.Said, error) {
	for _, m := range f.Members() {
		if m.Host == p.Name && m.HostIs != "" && tree.Kind(m.HostIs) != tree.Away { // an agent answers without its keeper
			return nil, fmt.Errorf("the host is %s", m.HostIs)
		}
	}
	limited, cancel := context.WithTimeout(ctx, hearTime)
	defer cancel()
	heard, err := p.Observer.Hear(limited, l)
	if ctx.Err() != nil {
		return nil, nil // nobody listens any more
	}
	return heard, err
}

func problemOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// hand hands on lines of a log.
func (f *Front) hand(p Place, said server.Said, say func(control.Line) error) error {
	id := keeper.ID{Domain: path.Join(f.Domain, path.Dir(said.Log)), Name: strings.TrimSuffix(path.Base(said.Log), ".log")}
	for line := range strings.Lines(string(said.Text)) {
		if err := say(control.Line{Host: p.Name, Server: id.String(), Text: strings.TrimSuffix(line, "\n")}); err != nil {
			return err
		}
	}
	return nil
}

// log returns the log of a server in the folder of those of the program.
func (f *Front) log(full string) string {
	name, domain, _ := strings.Cut(full, "@")
	return strings.TrimPrefix(path.Join(strings.TrimPrefix(domain, f.Domain), name+".log"), "/")
}

// lastLines returns the last lines of a server, wherever it is.
func (f *Front) lastLines(ctx context.Context, m control.Member, most int) (string, error) {
	id := keeper.ID{Domain: path.Dir(m.Path), Name: path.Base(m.Path)}
	for _, p := range f.Hosts() {
		if p.Name != m.Host || p.Name == control.Local {
			continue
		}
		heard, err := f.ask(ctx, p, server.Listening{Folder: p.Logs(id.Domain), Only: id.Name + ".log", Last: true})
		if err != nil || len(heard) == 0 {
			return "", err
		}
		return strings.Join(server.TailOf(heard[0].Text, most), "\n"), nil
	}
	return strings.Join(server.Tail(f.Host.Log(id), most), "\n"), nil
}
