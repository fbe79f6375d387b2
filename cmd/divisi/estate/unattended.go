package estate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/divisi-go/divisi/internal/control"
	"github.com/divisi-go/divisi/internal/deployer"
	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/internal/launch"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/roster"
)

// unattended is an application that runs while nobody decides about it. What only a deployer can do is done
// by this process, which is one for a moment, or by the deployer that there is meanwhile.
type unattended struct {
	status control.Status // as the keeper and the records of versions have it

	home   home.Home
	domain home.Domain
}

// findUnattended returns the applications and programs that run while nobody decides about them, by name, and
// the names of the others that the keeper knows. A deployer that does not answer decides nevertheless.
func findUnattended(ctx context.Context, h home.Home) (found []Application, decided []string, err error) {
	k, err := door.Find(ctx, h)
	if errors.Is(err, door.ErrNone) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer k.Release()

	list, err := k.List(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	found, decided, err = unattendedPrograms(h, list)
	if err != nil {
		return nil, nil, err
	}

	replicas := map[string][]keeper.Proc{} // by domain
	for _, p := range list {
		if isReplica(p) {
			replicas[p.Domain] = append(replicas[p.Domain], p)
		}
	}

	for path, processes := range replicas {
		d := h.Domain(path)
		if answers(d.Door) {
			decided = append(decided, strings.TrimPrefix(path, "/"))
			continue
		}
		sockets, err := k.Sockets(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		status := statusOf(path, processes, sockets, specs(d.Versions))
		status.Controller.LogDir = d.Logs
		for _, program := range found {
			if program.Status.IsProgram() && keeper.Within(path, program.Status.Domain) {
				status.Again = program.Status.Again
			}
		}
		found = append(found, Application{&unattended{status: status, home: h, domain: d}, status, nil, h})
	}
	slices.SortFunc(found, func(a, b Application) int { return strings.Compare(a.Status.App, b.Status.App) })
	return found, decided, nil
}

// isReplica reports whether a server is a replica that outlives its deployer.
func isReplica(p keeper.Proc) bool { return p.Labels[launch.LabelVersion] != "" }

// specs returns the versions of which there are records. What is missing is not shown; who decides about a
// version without a record says so.
func specs(dir string) map[string]deployer.Spec {
	records, _ := roster.Read(dir)
	known := map[string]deployer.Spec{}
	for _, r := range records {
		var spec deployer.Spec
		if json.Unmarshal(r.Content, &spec) == nil {
			known[r.Version] = spec
		}
	}
	return known
}

// statusOf is the status of an application, the newest version first.
func statusOf(path string, replicas []keeper.Proc, sockets []keeper.Socket, specs map[string]deployer.Spec) control.Status {
	versions := byAge(replicas)
	newest := versions[0]
	spec, ok := specs[newest]
	if !ok {
		spec = deployer.Spec{Name: strings.TrimPrefix(path, "/"), Version: newest}
	}

	status := spec.Outline()
	status.Domain, status.Unattended = path, true
	for _, version := range versions {
		outline := specs[version].Outline()
		var list []control.ReplicaStatus
		for _, p := range replicas {
			if p.Labels[launch.LabelVersion] == version {
				list = append(list, replica(status.App, p, outline.Groups))
			}
		}
		slices.SortStableFunc(list, func(a, b control.ReplicaStatus) int {
			return cmp.Or(groupIndex(outline.Groups, a.Group)-groupIndex(outline.Groups, b.Group), a.Replica-b.Replica)
		})
		status.Replicas = append(status.Replicas, list...)
	}
	for _, s := range sockets {
		if s.Domain == path {
			status.Listeners = append(status.Listeners, control.ListenerStatus{
				Name: s.Key, Address: s.Actual, URL: control.PageURL(s.Actual),
			})
		}
	}
	judge(&status)
	return status
}

// judge says how an application is, by the replicas of its newest version. Groups start with their first use:
// one of which there is no replica is not missed.
func judge(status *control.Status) {
	there := map[string]int{} // by group
	status.State = "running"
	for _, r := range status.Replicas {
		if r.Version != status.Version {
			continue
		}
		there[r.Group]++
		if status.Started.IsZero() || r.Started.Before(status.Started) {
			status.Started = r.Started
		}
		i := groupIndex(status.Groups, r.Group)
		switch lifecycle.State(r.State) {
		case lifecycle.Ready:
			if i >= 0 {
				status.Groups[i].Ready++
			}
		case lifecycle.Backoff, lifecycle.Failed:
			status.State = "degraded"
		default:
			if status.State == "running" {
				status.State = "starting"
			}
		}
	}
	for _, g := range status.Groups {
		if there[g.Name] > 0 && there[g.Name] < g.Wanted {
			status.State = "degraded"
		}
	}
}

// byAge returns the versions of replicas, the one that has begun last first.
func byAge(replicas []keeper.Proc) (versions []string) {
	first := map[string]uint64{} // the number of the first start of a version
	for _, p := range replicas {
		version := p.Labels[launch.LabelVersion]
		born, known := first[version]
		if !known {
			versions = append(versions, version)
		}
		if !known || p.Born < born {
			first[version] = p.Born
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return cmp.Compare(first[b], first[a]) })
	return versions
}

func groupIndex(groups []control.GroupStatus, group string) int {
	return slices.IndexFunc(groups, func(g control.GroupStatus) bool { return g.Name == group })
}

func replica(app string, p keeper.Proc, groups []control.GroupStatus) control.ReplicaStatus {
	r := control.ReplicaStatus{
		Name: p.ID.String(), App: app, Unattended: true, Pid: p.Pid, State: string(p.State), Failing: p.Failing,
		Group: p.Labels[launch.LabelGroup], Restarts: p.Restarts, Started: p.Started, Version: p.Labels[launch.LabelVersion],
		Components: []string{},
	}
	r.Replica, _ = strconv.Atoi(p.Labels[launch.LabelReplica])
	if i := groupIndex(groups, r.Group); i >= 0 {
		r.Components = groups[i].Components
	}
	if p.LastExit != nil {
		exit := launch.ExitStatus(*p.LastExit)
		r.LastExit = &exit
	}
	return r
}
