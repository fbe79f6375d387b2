package server

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/server"
)

// Exit is how a process has ended, as it is shown.
type Exit struct {
	control.ExitStatus
	How         keeper.How `json:"how"`                     // it is known
	OutOfMemory bool       `json:"out_of_memory,omitempty"` // the memory of its control group was used up
	Hung        string     `json:"hung,omitempty"`          // why it was given up and killed
}

func exitOf(e keeper.Exit) Exit {
	return Exit{launch.ExitStatus(e), e.How, e.OutOfMemory, e.Hung}
}

// Record is the end of a process, as it is shown.
type Record struct {
	Number uint64 `json:"number"`
	Name   string `json:"name"`
	Run    uint64 `json:"run"`
	Pid    int    `json:"pid"`
	Exit
}

// Listener is a socket that a server inherits.
type Listener struct {
	Name    string      `json:"name"`
	Network string      `json:"network"`
	Address string      `json:"address"`
	Held    keeper.Held `json:"held"` // who has it
}

// Status is all that is known of a server.
type Status struct {
	control.ReplicaStatus
	Since     time.Time         `json:"since"` // of the state
	Says      string            `json:"status,omitempty"`
	Program   string            `json:"program"`
	Args      []string          `json:"args"`
	Dir       string            `json:"dir"`
	User      string            `json:"user,omitempty"`
	Ready     string            `json:"ready,omitempty"` // how one sees that it is
	Probe     *keeper.Probe     `json:"probe,omitempty"` // how the keeper asks whether it is well
	Limits    []string          `json:"limits,omitempty"`
	Cgroup    string            `json:"control_group,omitempty"`    // folder
	NoCgroup  string            `json:"no_control_group,omitempty"` // why it has none of its own
	Restart   lifecycle.Restart `json:"restart"`
	StopTime  string            `json:"stop_time"`
	Listeners []Listener        `json:"listeners"`
	Log       string            `json:"log"` // file
	LogLost   int64             `json:"log_lost,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Ended     *Exit             `json:"ended,omitempty"` // its process before this one
}

// Row is a server in a list of the replicas of applications.
func Row(p keeper.Proc) control.ReplicaStatus {
	r := control.ReplicaStatus{
		Name: p.ID.String(), Pid: p.Pid, State: string(p.State), Failing: p.Failing, Group: cmp.Or(p.Labels["group"], p.Name),
		Restarts: p.Restarts, Started: p.Started, Version: p.Labels["version"], Components: []string{},
	}
	if text := p.Labels[server.LabelProgram]; text != "" {
		r.Components = []string{text}
	}
	if e := p.LastExit; e != nil {
		exit := exitOf(*e).ExitStatus
		r.LastExit = &exit
	}
	return r
}

// listeners returns the sockets that a server inherits.
func (d *Desk) listeners(ctx context.Context, spec *keeper.Spec) ([]Listener, error) {
	list := []Listener{}
	if len(spec.Sockets) == 0 {
		return list, nil
	}
	sockets, err := d.Sockets(ctx, "/")
	if err != nil {
		return nil, err
	}
	for _, inherit := range spec.Sockets {
		for _, s := range sockets {
			if domain, key := inherit.Of(spec.Domain); s.Domain == domain && s.Key == key {
				list = append(list, Listener{cmp.Or(inherit.As, s.Key), s.Network, s.Actual, s.Held})
			}
		}
	}

	return list, nil
}

// ShowStatus shows all that is known of the server of a name.
func ShowStatus(ctx context.Context, c *console.Console, asked string) error {
	d, p, err := pick(ctx, "divisi status", asked)
	if err != nil {
		return err
	}
	defer d.close()
	s, err := d.status(ctx, p)
	if err != nil {
		return err
	}
	if done, err := c.JSON(s); done {
		return err
	}

	fmt.Fprintf(c.Out, "%s is %s since %s\n\n", s.Name, c.Paint(s.State), s.Since.Local().Format(time.DateTime))
	rows := [][]string{
		{"process", fmt.Sprint(s.Pid)}, {"started", s.Started.Local().Format(time.DateTime)}, {"restarts", fmt.Sprint(s.Restarts)},
		{"program", strings.Join(append([]string{s.Program}, s.Args...), " ")}, {"folder", s.Dir},
		{"restart", string(s.Restart)}, {"stop time", s.StopTime}, {"log", s.Log},
	}
	health := ""
	if p := s.Probe; p != nil {
		health = fmt.Sprintf("%s every %v, %d times", p.Ask, p.Interval, p.Retries)
	}
	group := s.Cgroup
	if s.NoCgroup != "" {
		group = "none: " + s.NoCgroup
	}
	for _, more := range [][]string{{"control group", group}, {"says", s.Says}, {"user", s.User}, {"ready", s.Ready}, {"health", health}, {"limits", strings.Join(s.Limits, ", ")}, {"failing", s.Failing}} {
		if more[1] != "" {
			rows = append(rows, more)
		}
	}
	for _, l := range s.Listeners {
		rows = append(rows, []string{"listener " + l.Name, l.Address + " (" + string(l.Held) + ")"})
	}
	if s.LogLost > 0 {
		rows = append(rows, []string{"lines of its log lost", fmt.Sprint(s.LogLost)})
	}
	c.Columns(rows)
	if s.Ended != nil {
		fmt.Fprintf(c.Out, "\nthe process before this one %s at %s\n", s.Ended.Text, s.Ended.Time.Local().Format(time.DateTime))
	}

	return nil
}

// status returns all that is known of a server.
func (d *Desk) status(ctx context.Context, p keeper.Proc) (Status, error) {
	spec, err := d.Spec(ctx, p.ID)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		ReplicaStatus: Row(p), Since: p.Since, Says: p.Status, Program: spec.Path, Args: append([]string{}, spec.Args...),
		Dir: spec.Dir, User: spec.User, Ready: p.Labels[server.LabelReady], Restart: lifecycle.Temporary, StopTime: spec.Grace.String(),
		Log: filepath.Join(d.home.Domain(p.Domain).Logs, p.Name+".log"), LogLost: p.LogLost, Labels: p.Labels,
	}
	if spec.Policy != nil {
		s.Restart = spec.Policy.WithDefaults().Restart
	}
	s.Cgroup, s.NoCgroup = p.Group, p.NoGroup
	for _, l := range spec.Limits {
		s.Limits = append(s.Limits, l.String())
	}
	if spec.Probe != nil {
		probe := spec.Probe.WithDefaults()
		s.Probe = &probe
	}
	if p.LastExit != nil {
		exit := exitOf(*p.LastExit)
		s.Ended = &exit
	}
	s.Listeners, err = d.listeners(ctx, &spec)

	return s, err
}
