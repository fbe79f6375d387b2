package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/divisi-go/divisi/store/internal/server"
)

// checkTimeout bounds how long a page waits for what it checks.
const checkTimeout = 5 * time.Second

// Pages returns what the member says by HTTP: the API as JSON, how it is, which version it has, and its metrics.
func (a *API) Pages() http.Handler {
	s := a.keys.s
	mux := http.NewServeMux()
	mux.Handle("/v3/", a.gateway)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) { wholesome(w, r, s) })
	serve(mux, "/livez", []check{{"serializable_read", readable(s, true)}})
	serve(mux, "/readyz", []check{
		{"data_corruption", intact(s)}, {"serializable_read", readable(s, true)},
		{"linearizable_read", readable(s, false)}, {"non_learner", votes(s)},
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		versions := version.Versions{Server: version.Version, Cluster: "not_decided"}
		if agreed := s.State.Cluster.Version(); agreed != nil {
			versions.Cluster = agreed.String()
		}
		if layout := s.StorageVersion(); layout != nil {
			versions.Storage = layout.String()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(versions)
	})
	gather := prometheus.Gatherers{prometheus.DefaultGatherer, measures(s)}
	mux.Handle("GET /metrics", promhttp.HandlerFor(gather, promhttp.HandlerOpts{}))
	return mux
}

// check is one thing that may be wrong.
type check struct {
	name string
	ok   func(context.Context) error
}

// serve serves checks at a path, and each of them below it.
func serve(mux *http.ServeMux, path string, checks []check) {
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { report(w, r, checks) })
	for _, c := range checks {
		mux.HandleFunc("GET "+path+"/"+c.name, func(w http.ResponseWriter, r *http.Request) { report(w, r, []check{c}) })
	}
}

// report says which checks fail, and, where it is asked for, which do not.
func report(w http.ResponseWriter, r *http.Request, checks []check) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	query := r.URL.Query()
	text, failed := "", false
	for _, c := range checks {
		if slices.Contains(query["exclude"], c.name) {
			continue
		}
		err := c.ok(ctx)
		if err != nil {
			failed = true
			text += fmt.Sprintf("[-]%s failed: %v\n", c.name, err)
			continue
		}
		text += fmt.Sprintf("[+]%s ok\n", c.name)
	}
	if failed {
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if query.Has("verbose") {
		_, _ = fmt.Fprint(w, text)
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// readable reads a key, as one who may.
func readable(s *server.Server, serializable bool) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.Range(s.State.Auth.WithRoot(ctx), &pb.RangeRequest{Key: []byte("health"), Serializable: serializable, CountOnly: true})
		return err
	}
}

func intact(s *server.Server) func(context.Context) error {
	return func(context.Context) error {
		if len(s.State.Alarms(pb.AlarmType_CORRUPT)) > 0 {
			return errors.New("alarm activated: CORRUPT")
		}
		return nil
	}
}

func votes(s *server.Server) func(context.Context) error {
	return func(context.Context) error {
		if s.Learner() {
			return errors.New("not supported for learner")
		}
		return nil
	}
}

// wholesome is etcd's older page, which says its reason in JSON.
func wholesome(w http.ResponseWriter, r *http.Request, s *server.Server) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	query := r.URL.Query()
	reason := ""
	for _, alarm := range s.Alarms() {
		if !slices.Contains(query["exclude"], alarm.Alarm.String()) {
			reason = "ALARM " + alarm.Alarm.String()
			break
		}
	}
	serializable := query.Get("serializable") == "true"
	if reason == "" && !serializable && s.Leader() == 0 {
		reason = "RAFT NO LEADER"
	}
	if reason == "" {
		err := readable(s, serializable)(ctx)
		if err != nil {
			reason = "RANGE ERROR:" + err.Error()
		}
	}

	answer := map[string]string{"health": "true", "reason": reason}
	if reason != "" {
		answer["health"] = "false"
	}
	w.Header().Set("Content-Type", "application/json")
	if reason != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// measures returns what etcd's server measures, by the same names, so that dashboards for it work. What etcd's
// packages measure they register themselves.
func measures(s *server.Server) *prometheus.Registry {
	r := prometheus.NewRegistry()
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "etcd_server_" + name, Help: help}, value))
	}
	truth := func(ok bool) float64 {
		if ok {
			return 1
		}
		return 0
	}
	gauge("has_leader", "Whether there is a leader: 1 is yes.", func() float64 { return truth(s.Leader() != 0) })
	gauge("is_leader", "Whether this member leads: 1 is yes.", func() float64 { return truth(s.Leader() == s.MemberID()) })
	gauge("proposals_committed_total", "The index of the last entry that is committed.", func() float64 { return float64(s.CommittedIndex()) })
	gauge("proposals_applied_total", "The index of the last entry that is applied.", func() float64 { return float64(s.AppliedIndex()) })
	return r
}
