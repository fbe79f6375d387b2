package process

import (
	"context"
	"slices"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/weavelet"
	"github.com/divisi-go/divisi/metrics"
)

// TestTransportMetrics: what pools and servers count is in the metrics of the weavelet.
func TestTransportMetrics(t *testing.T) {
	w := newWorld(t, map[string]*behaviour{"A": {}})
	app := w.local(weavelet.LocalOptions{})
	n := &remoteNetwork{info: &protos.EnvelopeInfo{DeploymentId: "d1", Name: "x-0"}, routes: map[string]*route{}}
	c := newControl(app, n, nil)
	l, err := link.Listen("tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- c.server.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()

	component, _ := w.Registry.Find("t/p/A")
	pool := balance.NewPool(balance.PoolOptions{Conn: n.connection()})
	defer pool.Close()
	pool.SetReplicas([]string{"tcp://" + l.Addr().String()})
	n.routes["t/p/A"] = newRoute(component, pool)

	// Bytes are counted after they were written, when the answer may be here already: those of the
	// first call are counted before the second one is written.
	for range 2 {
		reply, err := pool.Call(t.Context(), &call.Request{})
		if err != nil || reply.Status != codegen.StatusUnimplemented {
			t.Fatalf("%v, %v", reply.Status, err)
		}
	}

	all := c.transport()
	for _, name := range []string{"divisi_connections", "divisi_connection_bytes_sent", "divisi_connection_bytes_received"} {
		for _, callee := range []string{"t/p/A", "here"} {
			if !slices.ContainsFunc(all, func(m metrics.Metric) bool {
				return m.Name == name && m.Labels[0].Value == callee && m.Value > 0 && m.ID != 0
			}) {
				t.Errorf("no %s of %s in %v", name, callee, all)
			}
		}
	}
}
