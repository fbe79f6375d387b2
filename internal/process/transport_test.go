package process

import (
	"context"
	"slices"
	"testing"
	"time"

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
	c := newControl(app, n)
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
	if reply, err := pool.Call(t.Context(), &call.Request{}); err != nil || reply.Status != codegen.StatusUnimplemented {
		t.Fatalf("%v, %v", reply.Status, err)
	}

	// What has been written is counted after it was written, when the answer may be here already.
	for _, name := range []string{"divisi_connections", "divisi_connection_bytes_sent", "divisi_connection_bytes_received"} {
		for _, callee := range []string{"t/p/A", "here"} {
			counted := func(m metrics.Metric) bool {
				return m.Name == name && m.Labels[0].Value == callee && m.Value > 0 && m.ID != 0
			}
			for end := time.Now().Add(10 * time.Second); !slices.ContainsFunc(c.transport(), counted); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no %s of %s in %v", name, callee, c.transport())
				}
			}
		}
	}
}
