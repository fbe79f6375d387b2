package operator

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/internal/artifact"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/program"
	"github.com/divisi-go/divisi/internal/server"
	"github.com/divisi-go/divisi/internal/tree"
)

// System is a program as its front needs it.
type System struct {
	Name    string
	Domain  string
	Host    *server.Host   // this machine
	Hosts   func() []Place // all of them
	Events  *event.Log     // what happens
	Members func() []control.Member
	Tell    func(kind tree.Kind, path string) // of a member, as Members has it
	Renew   func(ctx context.Context, path string) (done bool, err error)
	Settled func() bool     // it has started all that it wants
	Stop    func()          // has everything stop in order
	Over    <-chan struct{} // closed when everything has
}

// Front is what a program is to whoever looks at it and operates it.
type Front struct {
	System
	desk    *Desk
	started time.Time
	version func() string
	binary  string

	replaced chan *Replacement // has room for one

	mu   sync.Mutex               // guards last
	last map[string][]keeper.Proc // servers as they were seen last, by host
}

// application is a front as the control API has it.
type application struct{ *Front }

var _ control.Application = application{}

// version returns that of the program of this process, "" if it cannot be read.
func version() string {
	sum, err := artifact.Sum(program.Running)
	if err != nil {
		return ""
	}
	return sum[:min(8, len(sum))]
}

// NewFront returns the front of a program, and gives its desk the verbs that every program has.
func NewFront(of System, desk *Desk) (*Front, error) {
	f := &Front{System: of, desk: desk, started: time.Now(), replaced: make(chan *Replacement, 1), last: map[string][]keeper.Proc{}}
	f.binary, _ = os.Executable()
	f.version = sync.OnceValue(version)

	for _, v := range []struct {
		name, help string
		call       any
		takes      []string
	}{
		{"list", "what is in its nurseries", f.Members, nil},
		{"tree", "the same, as a drawing", f.tree, nil},
		{"logs", "the last lines of a server: its name, and how many", f.logs, []string{"SERVER", "LINES"}},
		{"restart", "has something end and start again, which counts as no failure", f.restart, []string{"MEMBER"}},
		{"drain", "has something end in order, and stay down", f.drain, []string{"MEMBER"}},
		{"upgrade", "replaces the program by another binary, keeping what runs", f.upgrade, []string{"BINARY"}},
		{"values", "what can be set", desk.Values, nil},
		{"set", "sets a value, also for later runs", desk.Set, []string{"NAME", "VALUE"}},
		{"questions", "what the program wants to know", desk.Questions, nil},
		{"answer", "answers a question: its key, and the value", f.answer, []string{"KEY", "VALUE"}},
	} {
		if _, err := desk.Verb(v.name, control.Builtin, v.help, v.call, v.takes...); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Serve answers at a door until ctx ends.
func (f *Front) Serve(ctx context.Context, door string) error {
	s := &control.Server{
		Name: f.Name, App: application{f}, Desk: f.desk, Events: f.Events,
		Controller: control.Controller{Pid: os.Getpid(), LogDir: f.Host.Logs(f.Domain)},
		Logs: func(context.Context, url.Values, func(any) error) error {
			return errors.New("the logs of its servers are files, in the folder that the status says")
		},
		Elsewhere: f.elsewhere,
	}
	if err := s.Listen(door); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// Record writes what happens to the log of the program until ctx ends. That it cannot is an event itself.
func (f *Front) Record(ctx context.Context) {
	dir := f.Host.Logs(f.Domain)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.Events.Add(event.Warning{Text: fmt.Sprintf("the log is not being written: %v", err)})
		return
	}
	log := event.NewWriter(dir)
	defer log.Close()
	_ = f.Events.Follow(ctx, func(r event.Record) error {
		if err := log.Write(r); err != nil {
			f.Events.Add(event.Warning{Text: fmt.Sprintf("the log is not being written: %v", err)})
		}
		return nil
	})
}

// Status returns what there is to see.
func (f application) Status() control.Status {
	members := f.Members()
	s := control.Status{
		App: f.Name, Domain: f.Domain, Version: f.version(), State: "starting", Binary: f.binary, Started: f.started,
		Listeners: []control.ListenerStatus{}, Groups: []control.GroupStatus{}, Edges: []control.Edge{},
		Replicas: f.servers(members), Members: members,
	}
	if !f.Settled() {
		return s
	}

	s.State = "running"
	for _, m := range s.Members {
		if m.HostIs != "" {
			s.State = "degraded"
		}
		switch lifecycle.State(m.State) {
		case lifecycle.Failed, lifecycle.Backoff, lifecycle.Hung:
			s.State = "degraded"
		}
	}
	return s
}

// ShortVersion returns as much of what a server is as tells it from others.
func ShortVersion(s keeper.Proc) string { return s.Digest[:min(8, len(s.Digest))] }

// Row returns what there is to see of a server of a program.
func Row(app string, s keeper.Proc) control.ReplicaStatus {
	row := control.ReplicaStatus{
		Name: s.ID.String(), App: app, Pid: s.Pid, State: string(s.State), Failing: s.Failing, Group: s.Domain,
		Restarts: s.Restarts, Started: s.Started, Version: ShortVersion(s),
		Components: []string{s.Labels[server.LabelProgram]},
	}
	if e := s.LastExit; e != nil {
		row.LastExit = &control.ExitStatus{Code: e.Code, Signal: e.Signal, Time: e.Time, Text: e.String()}
	}
	return row
}

// Metrics returns none.
func (application) Metrics(context.Context) ([]control.ReplicaMetrics, error) {
	return []control.ReplicaMetrics{}, nil
}

// Profile has none to return.
func (f application) Profile(context.Context, string, string, time.Duration) ([]control.ReplicaProfile, error) {
	return nil, fmt.Errorf("%s is no application of components: profile its servers by their own means", f.Name)
}

// Stop has everything stop in order.
func (f application) Stop() { f.System.Stop() }

// Over is closed when everything has stopped.
func (f application) Over() <-chan struct{} { return f.System.Over }

// tree draws the members, each below the scope that it is in.
func (f *Front) tree() string {
	var b strings.Builder
	for _, m := range f.Members() {
		depth := strings.Count(strings.TrimPrefix(m.Path, f.Domain), "/")
		fmt.Fprintf(&b, "%s%s  %s", strings.Repeat("  ", depth), path.Base(m.Path), m.Is())
		if m.Restarts > 0 {
			fmt.Fprintf(&b, ", %d restarts", m.Restarts)
		}
		if m.Failure != "" && m.State != string(lifecycle.Ready) {
			first, _, _ := strings.Cut(m.Failure, "\n")
			fmt.Fprintf(&b, ": %s", first)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// find returns a member by its path, or by the unique end of that.
func (f *Front) find(name string) (control.Member, error) {
	var found []control.Member
	for _, m := range f.Members() {
		if m.Path == name {
			return m, nil
		}
		if strings.HasSuffix(m.Path, "/"+name) {
			found = append(found, m)
		}
	}

	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return control.Member{}, &control.Error{
			Code: control.NotFound, Text: fmt.Sprintf("nothing is called %q", name),
			Way: "divisi do " + f.Name + " list shows what there is",
		}
	}
	return control.Member{}, &control.Error{
		Code: control.Invalid, Text: fmt.Sprintf("several are called %q", name),
		Way: fmt.Sprintf("give one of %s and %s", found[0].Path, found[1].Path),
	}
}

// logLines is how many lines of a log are shown, unless another number is given.
const logLines = 20

// logs returns the last lines that a server has printed.
func (f *Front) logs(ctx context.Context, name string, lines ...int) (string, error) {
	m, err := f.find(name)
	if err != nil {
		return "", err
	}
	if m.Kind == KindApplication {
		return "", fmt.Errorf("%s has several processes: divisi logs %s", m.Path, strings.TrimPrefix(m.Path, "/"))
	}
	if m.Kind != KindServer {
		return "", fmt.Errorf("%s is a %s, and prints where the program does", m.Path, m.Kind)
	}
	n := logLines
	if len(lines) > 0 {
		n = lines[0]
	}
	return f.lastLines(ctx, m, n)
}

// restart has a member end and start again, the next process first where two can run side by side, and returns when it can
// be used.
func (f *Front) restart(ctx context.Context, name string) error {
	m, err := f.find(name)
	if err != nil {
		return err
	}
	done, err := f.Renew(ctx, m.Path)
	if done || err != nil {
		return err
	}
	return f.tell(ctx, tree.Upgrade, name, lifecycle.Ready)
}

// drain has a member end, and returns when it has.
func (f *Front) drain(ctx context.Context, name string) error {
	return f.tell(ctx, tree.Stop, name, lifecycle.Stopped)
}

// tellPoll is how often it is asked whether what was asked for has come.
const tellPoll = 10 * time.Millisecond

// tell tells the tree of something, and waits for its state.
func (f *Front) tell(ctx context.Context, kind tree.Kind, name string, until lifecycle.State) error {
	m, err := f.find(name)
	if err != nil {
		return err
	}
	since := time.Now()
	f.Tell(kind, m.Path)
	for {
		now, err := f.find(m.Path)
		switch {
		case err != nil:
			return err
		case now.State == string(until) && (now.Since.After(since) || kind == tree.Stop):
			return nil
		case now.Since.After(since) && (now.State == string(lifecycle.Backoff) || now.State == string(lifecycle.Failed)):
			return fmt.Errorf("%s has failed: %s", m.Path, now.Failure)
		}

		select {
		case <-time.After(tellPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (f *Front) answer(key, value string) error {
	return f.desk.Answer(control.Answer{Key: key, Kind: control.Value, Value: value})
}

// Replacement is the end of a run that another binary goes on with, in the same process.
type Replacement struct{ Binary string }

func (r *Replacement) Error() string { return "the program becomes " + r.Binary }

// Replaced is told of the binary that is to go on with what runs, once.
func (f *Front) Replaced() <-chan *Replacement { return f.replaced }

// upgrade has another binary go on with what runs.
func (f *Front) upgrade(binary string) error {
	info, err := os.Stat(binary)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program: nobody may execute it", binary)
	}
	if built := program.Built(binary); built != "" && built != program.Here {
		return fmt.Errorf("%s was built for %s, and this host is %s", binary, built, program.Here)
	}

	select {
	case f.replaced <- &Replacement{binary}:
		return nil
	default:
		return errors.New("it is being replaced already")
	}
}

// Become has another binary go on in this process, with the same arguments. It returns only if neither that
// nor this one again can be executed.
func Become(binary string) error {
	err := fmt.Errorf("cannot become %s: %w", binary, syscall.Exec(binary, os.Args, os.Environ()))
	return errors.Join(err, syscall.Exec(program.Running, os.Args, os.Environ()))
}

// Kinds of members.
const (
	KindServer = "server"
	KindTask   = "task"
	KindScope  = "scope"

	KindApplication = "application"
)
