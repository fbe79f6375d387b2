package ensemble

import (
	"cmp"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/config"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

// over returns settings with those of s in their place where s says something.
func (s Settings) over(below Settings) Settings {
	if s.Args == nil {
		s.Args = below.Args
	}
	if s.Also == nil {
		s.Also = below.Also
	}
	if s.Limits == nil {
		s.Limits = below.Limits
	}
	if s.Alone == nil {
		s.Alone = below.Alone
	}
	if s.Exec == nil {
		s.Exec = below.Exec
	}
	if s.Follows == nil {
		s.Follows = below.Follows
	}
	s.Program = cmp.Or(s.Program, below.Program)
	s.Dir = cmp.Or(s.Dir, below.Dir)
	s.User = cmp.Or(s.User, below.User)
	s.Ready = cmp.Or(s.Ready, below.Ready)
	s.Health = cmp.Or(s.Health, below.Health)
	s.Within = cmp.Or(s.Within, below.Within)
	s.StopTime = cmp.Or(s.StopTime, below.StopTime)
	s.Env = merge(s.Env, below.Env)
	s.Listen = merge(s.Listen, below.Listen)
	s.Labels = merge(s.Labels, below.Labels)
	s.Config = mergeConfig(s.Config, below.Config)
	s.Restart = overRestart(s.Restart, below.Restart)
	return s
}

func overRestart(r, below config.Restart) config.Restart {
	return config.Restart{
		Policy: cmp.Or(r.Policy, below.Policy), Intensity: cmp.Or(r.Intensity, below.Intensity),
		Window: cmp.Or(r.Window, below.Window), Backoff: cmp.Or(r.Backoff, below.Backoff), MaxBackoff: cmp.Or(r.MaxBackoff, below.MaxBackoff),
	}
}

func merge[V any](over, below map[string]V) map[string]V {
	both := maps.Clone(below)
	if both == nil {
		return over
	}
	maps.Copy(both, over)
	return both
}

// mergeConfig merges tables within tables as well.
func mergeConfig(over, below map[string]any) map[string]any {
	both := merge(over, below)
	for key, value := range over {
		inner, isTable := value.(map[string]any)
		other, wasTable := below[key].(map[string]any)
		if isTable && wasTable {
			both[key] = mergeConfig(inner, other)
		}
	}
	return both
}

// Defaults of settings.
const (
	withinDefault   = 30 * time.Second
	stopTimeDefault = 10 * time.Second
)

// withDefaults returns the settings of a server with every default.
func (s Settings) withDefaults() Settings {
	s.Dir = cmp.Or(s.Dir, ".")
	s.Within = cmp.Or(s.Within, withinDefault)
	s.StopTime = cmp.Or(s.StopTime, stopTimeDefault)
	if s.Alone == nil {
		s.Alone = new(bool)
	}
	if s.Exec == nil {
		s.Exec = new(bool)
	}
	if s.Follows == nil {
		s.Follows = new(bool)
	}
	s.Restart = restartDefaults(s.Restart, lifecycle.Permanent)
	return s
}

func restartDefaults(r config.Restart, restart lifecycle.Restart) config.Restart {
	p := lifecycle.Policy{Restart: restart}.WithDefaults()
	return overRestart(r, config.Restart{
		Policy: string(restart), Intensity: p.Intensity, Window: p.Window, Backoff: p.Backoff, MaxBackoff: p.MaxBackoff,
	})
}

func worker(name string, n int) string { return name + "-" + strconv.Itoa(n) }

// Expand returns a text of the settings as one server has it: {server}, {name}, {domain} and {number} are its own.
func (s Server) Expand(text string) string {
	return strings.NewReplacer(
		"{server}", s.String(), "{name}", s.Name, "{domain}", s.Domain, "{number}", strconv.Itoa(s.Number),
	).Replace(text)
}
