package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/estate"
	"github.com/divisi-go/divisi/cmd/divisi/telemetry"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/operator"
)

// Data is what the page shows at a moment.
type Data struct {
	Time     time.Time           `json:"time"`
	Apps     []control.AppStatus `json:"apps"`              // all that runs
	Of       string              `json:"of"`                // what the rest is about; "" if nothing runs
	Problem  string              `json:"problem,omitempty"` // why there is no status
	Status   *control.Status     `json:"status,omitempty"`
	Events   []event.Record      `json:"events"`
	Calls    []Calls             `json:"calls"`
	Requests Requests            `json:"requests"`
	Program  *Program            `json:"program,omitempty"` // nil for an application of components
	Ensemble *Ensemble           `json:"ensemble,omitempty"`
}

// Program is what a program of package system asks, and what it can be told.
type Program struct {
	Questions []control.Question `json:"questions"`
	Values    json.RawMessage    `json:"values"` // that may be set
	Verbs     []control.Verb     `json:"verbs"`  // its own
}

// Times that answers may take: the page asks again every second, and shows meanwhile what it knows.
const (
	lookTime   = 5 * time.Second
	eventsTime = time.Second // a deployer of an earlier version follows what happens
)

// data answers with what there is to see of a subject.
func (p *Page) data(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	d := Data{Time: time.Now(), Apps: []control.AppStatus{}, Events: []event.Record{}, Calls: []Calls{}}
	unattended, err := p.running(ctx, &d)
	if err != nil {
		d.Problem = err.Error()
	}

	d.Of = cmp.Or(r.FormValue("of"), p.first)
	if d.Of == "" && len(d.Apps) > 0 {
		d.Of = d.Apps[0].App
	}
	left := slices.IndexFunc(unattended, func(a estate.Application) bool { return a.Status.App == d.Of })
	client, err := p.client(d.Of)
	switch {
	case left >= 0:
		d.leftBehind(p.home, unattended[left].Status)
	case err == nil:
		d.look(ctx, client)
	case d.Of != "":
		d.Problem = err.Error()
	}
	if d.Program != nil {
		if d.Ensemble, err = p.ensemble(d.Of); err != nil {
			d.Problem = err.Error()
		}
	}
	reply(w, d)
}

// running fills in what runs, and returns what of it nobody decides about.
func (p *Page) running(ctx context.Context, d *Data) (unattended []estate.Application, err error) {
	doors, err := p.home.Doors()
	if err != nil {
		return nil, err
	}
	if apps, _ := control.Apps(ctx, doors); len(apps) > 0 { // the others do not answer
		d.Apps = apps
	}

	unattended, err = estate.Unattended(ctx, p.home)
	for _, app := range unattended {
		s := app.Status
		questions, _ := operator.NewShelf(p.home.Domain(s.Domain).Desk).Open() // they are asked when it runs
		d.Apps = append(d.Apps, control.AppStatus{
			App: s.App, Domain: s.Domain, Version: s.Version, State: s.State, Started: s.Started, Questions: len(questions),
		})
	}
	slices.SortStableFunc(d.Apps, func(a, b control.AppStatus) int { return strings.Compare(a.App, b.App) })
	return unattended, err
}

// client returns a client of an application, which may have ended.
func (p *Page) client(app string) (*control.Client, error) {
	if err := name.CheckDomain("/" + app); err != nil || app == "" {
		return nil, &control.Error{Code: control.NotFound, Text: fmt.Sprintf("nothing runs that is called %q", app)}
	}
	return control.NewClient(p.home.Domain(name.Domain(app)).Door, app), nil
}

// leftBehind fills in what the keeper has of something that nobody decides about. What a program has asked can
// be answered meanwhile.
func (d *Data) leftBehind(h home.Home, s control.Status) {
	d.Status = &s
	if !s.IsProgram() {
		return
	}
	questions, err := operator.NewShelf(h.Domain(s.Domain).Desk).Open()
	if err != nil {
		d.Problem = err.Error()
	}
	d.Program = &Program{Questions: questions, Values: json.RawMessage("[]"), Verbs: []control.Verb{}}
}

// look fills in what a client says.
func (d *Data) look(ctx context.Context, client *control.Client) {
	status, err := client.Status(ctx)
	if err != nil {
		d.Problem = err.Error()
		return
	}
	d.Status = &status
	if len(status.Groups) == 0 {
		d.Program, err = program(ctx, client)
		if err != nil {
			d.Problem = err.Error()
		}
	}

	all, err := client.Metrics(ctx)
	if err != nil {
		all = nil // the application is ending: the rest still shows
	}
	d.Calls, d.Requests = calls(all), requests(all)
	limited, cancel := context.WithTimeout(ctx, eventsTime)
	defer cancel()
	if events, _ := client.Events(limited); events != nil {
		d.Events = events
	}
}

// program returns what a program asks and can be told.
func program(ctx context.Context, client *control.Client) (*Program, error) {
	questions, err := client.Questions(ctx)
	if err != nil {
		return nil, err
	}
	verbs, err := client.Verbs(ctx)
	if err != nil {
		return nil, err
	}
	values, err := client.Do(ctx, "values", nil)
	if err != nil {
		return nil, err
	}

	verbs = slices.DeleteFunc(verbs, func(v control.Verb) bool { return v.Site == control.Builtin })
	return &Program{questions, values, verbs}, nil
}

// metrics answers with the metrics of a subject, as Prometheus reads them.
func (p *Page) metrics(w http.ResponseWriter, r *http.Request) {
	app := cmp.Or(r.FormValue("of"), p.first)
	client, err := p.client(app)
	if err != nil {
		refuse(w, err)
		return
	}
	all, err := client.Metrics(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = telemetry.WritePrometheus(w, app, all)
}

// maxEntries bounds how much of the log is shown.
const maxEntries = 100

// log answers with the latest entries of a level and those above, of a replica and of a component,
// that have a text in them.
func (p *Page) log(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	f := &telemetry.Filter{
		Level: r.FormValue("level"), Replica: r.FormValue("replica"), Component: r.FormValue("component"),
		Text: r.FormValue("text"),
	}
	if err := f.Compile(); err != nil {
		refuse(w, &control.Error{Code: control.Invalid, Text: err.Error()})
		return
	}
	status, err := p.status(ctx, cmp.Or(r.FormValue("of"), p.first))
	if err != nil {
		refuse(w, err)
		return
	}
	entries, err := p.recent(ctx, status, f)
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, entries)
}

// status returns that of an application or a program, whether somebody decides about it or not.
func (p *Page) status(ctx context.Context, app string) (control.Status, error) {
	client, err := p.client(app)
	if err != nil {
		return control.Status{}, err
	}
	status, err := client.Status(ctx)
	if !isNobody(err) {
		return status, err
	}
	unattended, silent := estate.Unattended(ctx, p.home)
	for _, u := range unattended {
		if u.Status.App == app {
			return u.Status, nil
		}
	}
	return status, cmp.Or(silent, err)
}

// isNobody reports whether an error says that nobody is behind a door.
func isNobody(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// recent returns the latest entries that a filter chooses. The log of an application has earlier runs as well.
// The servers of a program outlive its runs.
func (p *Page) recent(ctx context.Context, s control.Status, f *telemetry.Filter) ([]telemetry.Entry, error) {
	if len(s.Groups) > 0 {
		f.Since = s.Started
		return telemetry.Recent(s.Controller.LogDir, nil, f, maxEntries)
	}

	return telemetry.Recent(p.home.Domain(s.Domain).Logs, p.elsewhere(ctx, s, f.Replica), f, maxEntries)
}

// elsewhereTime bounds the wait for what is said on other hosts.
const elsewhereTime = 2 * time.Second

// elsewhere returns what servers of a program on other hosts have said lately, as much as is told in time: all of them,
// or one if that is one there. The tree says which host does not answer.
func (p *Page) elsewhere(ctx context.Context, s control.Status, server string) *telemetry.Feed {
	away := slices.DeleteFunc(slices.Clone(s.Replicas), func(r control.ReplicaStatus) bool {
		return !r.Elsewhere() || server != "" && r.Name != server
	})
	client, err := p.client(s.App)
	if len(away) == 0 || err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereTime)
	defer cancel()
	feed := telemetry.NewFeed()
	_ = client.Elsewhere(ctx, control.Hearing{Server: server, Last: true}, func(line control.Line) error {
		if line.Server != "" {
			feed.Add(line.Server, line.Text)
		}
		return nil
	})
	return feed
}

// reply writes a value.
func reply(w http.ResponseWriter, v any) { write(w, http.StatusOK, v) }

// refuse writes an error.
func refuse(w http.ResponseWriter, err error) {
	e := &control.Error{Code: control.Failed, Text: err.Error()}
	errors.As(err, &e)
	write(w, e.Code.Status(), e)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the browser has gone
}
