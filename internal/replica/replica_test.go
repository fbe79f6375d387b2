package replica

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/pipe"
)

// owner decides nothing.
type owner struct{}

func (owner) Do(_ context.Context, f func()) error { f(); return nil }
func (owner) Emit(event.Event)                     {}
func (owner) Now() time.Time                       { return time.Time{}.Add(time.Hour) }
func (owner) Joined(*Replica)                      {}
func (owner) Parted(*Replica)                      {}
func (owner) Gone(*Replica)                        {}
func (owner) Stopped(*Replica)                     {}
func (owner) Activate(*Replica, string) error      { return nil }

// converses returns a conversation with a weavelet that says nothing, or what the handler says.
func converses(t *testing.T, h pipe.WeaveletHandler) *envelope.Envelope {
	t.Helper()
	ours, theirs := net.Pipe()
	met := make(chan error, 1)
	go func() {
		w, _, err := pipe.NewWeavelet(io.NopCloser(theirs), theirs)
		if err == nil {
			err = w.Hello(&protos.WeaveletInfo{
				DialAddr: "tcp://a:1", Version: &protos.SemVer{Minor: 20}, Features: []string{protos.FeatureReports},
			})
		}
		met <- err
		if err == nil && h != nil {
			_ = w.Serve(t.Context(), h) // until the test ends the conversation
		}
	}()
	env, err := envelope.Attach(t.Context(), io.NopCloser(ours), ours, &protos.EnvelopeInfo{App: "shop", DeploymentId: "v1", Id: "cart-0", Features: []string{protos.FeatureReports}})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-met; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { env.Close(); theirs.Close() })
	return env
}

// TestOvertakenAnswer: an answer that says less than what its process has said unasked meanwhile changes
// nothing.
func TestOvertakenAnswer(t *testing.T) {
	r := New(Role{Name: "cart-0@/shop"}, lifecycle.Policy{}, nil, Options{Context: t.Context(), Owner: owner{}})
	r.Step(lifecycle.Adopt)
	r.env = converses(t, nil)
	ready := &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Ready: true, Look: 2}
	r.health(ready)

	r.health(&protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Look: 1, Reasons: []string{"too early"}})
	r.health(&protos.GetHealthReply{Status: protos.HealthStatus_UNHEALTHY, Look: 1})
	if r.State() != lifecycle.Ready || r.sick || len(r.why) > 0 || !r.heard {
		t.Errorf("it is %v (sick %v) %v, heard %v", r.State(), r.sick, r.why, r.heard)
	}
	r.health(&protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Look: 3, Reasons: []string{"now"}})
	if r.State() == lifecycle.Ready || len(r.why) != 1 {
		t.Errorf("it is %v %v", r.State(), r.why)
	}
}

// deciding has one goroutine at a time decide.
type deciding struct {
	owner
	mu sync.Mutex
}

func (d *deciding) Do(_ context.Context, f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	return nil
}

// well is a weavelet that is ready, whatever it is to run.
type well struct{ pipe.WeaveletHandler }

func (well) GetHealth(context.Context, *protos.GetHealthRequest) (*protos.GetHealthReply, error) {
	return &protos.GetHealthReply{Status: protos.HealthStatus_HEALTHY, Ready: true, Look: 2}, nil
}

func (well) UpdateComponents(context.Context, *protos.UpdateComponentsRequest) (*protos.UpdateComponentsReply, error) {
	return &protos.UpdateComponentsReply{}, nil
}

// TestFoundIdle: a process that has said who it is to the deployer that takes over, and has nothing to do, lives on
// while that one waits for others, however long. It takes no calls before that is over.
func TestFoundIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, resumed := &deciding{}, make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		policy := lifecycle.Policy{StartTime: 5 * time.Second, HungTime: 5 * time.Second}
		r := New(Role{Name: "cart-0@/shop"}, policy, nil, Options{Context: ctx, Owner: d, Resumed: resumed})
		signals := make(chan os.Signal, 1)
		d.Do(ctx, func() {
			r.Adopt(Process{Pid: 1, Signal: func(s os.Signal) error { signals <- s; return nil }}, "", time.Now(), 0)
		})
		env := converses(t, well{})
		defer env.Close()
		go r.attempt.Converse(env)

		for range 60 {
			time.Sleep(time.Second)
			d.Do(ctx, r.Pulse)
		}
		synctest.Wait()
		d.Do(ctx, func() {
			if r.State() != lifecycle.Starting || len(signals) > 0 {
				t.Errorf("it is %v, and has got %d signals", r.State(), len(signals))
			}
			close(resumed)
			r.Resume(true)
			if r.State() != lifecycle.Ready {
				t.Errorf("afterwards it is %v", r.State())
			}
		})
	})
}

// TestMailbox: news that could not be told are kept for the next conversation, and never replace later ones.
func TestMailbox(t *testing.T) {
	m := newMailbox()
	first := &protos.RoutingInfo{Component: "cart", Replicas: []string{"a"}}
	m.know([]*protos.RoutingInfo{first})
	if news := m.take(); len(news) > 0 {
		t.Errorf("what is known is news: %v", news)
	}
	m.put(first)
	taken := m.take()
	second := &protos.RoutingInfo{Component: "cart", Replicas: []string{"a", "b"}}
	m.put(second)
	m.giveBack(taken)
	if news := m.take(); len(news) != 1 || news[0] != second {
		t.Errorf("the news are %v", news)
	}
	if all := m.all(); len(all) != 1 || all[0] != second {
		t.Errorf("the routes are %v", all)
	}
}
