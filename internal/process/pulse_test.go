package process

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/lifecycle"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// TestPulseSleeps: a process that is asked in time wakes up for nothing else, and one that nobody asks any more
// looks at its components soon, and then again and again.
func TestPulseSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		p := newPulse(weavelet.New(newWorld(t, nil).app, weavelet.Options{}), slog.New(slog.DiscardHandler))
		gone, looked := make(chan struct{}), 0
		p.attended = func() (bool, <-chan struct{}) {
			looked++
			select {
			case <-gone:
				return false, nil
			default:
				return true, gone
			}
		}
		p.unheard = func() []string { return nil }
		go p.serve(ctx, func(*protos.GetHealthReply) {})

		for range 60 {
			p.reply()
			time.Sleep(lifecycle.Question)
		}
		synctest.Wait()
		if looked != 61 { // before the first question, and after each
			t.Errorf("it has woken %d times beside the questions", looked-61)
		}

		before := p.last.Load().Look
		close(gone)
		time.Sleep(10 * unattended)
		synctest.Wait()
		if looks := p.last.Load().Look - before; looks != 10 {
			t.Errorf("nobody asks, and it has looked %d times", looks)
		}
	})
}

// slowDeployer understands what is needed when it may.
type slowDeployer struct {
	*plainHandler
	may chan struct{}
}

func (d slowDeployer) ActivateComponent(ctx context.Context, r *protos.ActivateComponentRequest) (*protos.ActivateComponentReply, error) {
	<-d.may
	return d.plainHandler.ActivateComponent(ctx, r)
}

// TestReadyWhenHeard: a process is not ready before its deployer knows what else it needs: that is to be waited for.
func TestReadyWhenHeard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("there are no Unix sockets here: %v", err)
	}
	defer socket.Close()
	w := newWorld(t, map[string]*behaviour{"A": {Refs: []string{"B"}}, "B": {}})
	end, ended := make(chan struct{}), make(chan error, 1)
	program := func(context.Context, *weavelet.Weavelet, func(context.Context) error) error {
		<-end
		return nil
	}
	go func() {
		ended <- serveDeployed(context.WithoutCancel(t.Context()), w.app, deployment{
			files: inherit.Files{Envelope: path}, program: program, gone: func() {},
		})
	}()

	conn, err := socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	info := &protos.EnvelopeInfo{
		App: "app", DeploymentId: "v1", Id: "w1", RunMain: true, InternalAddress: "localhost:0", Features: []string{"extensions"}, Epoch: 1,
	}
	e, err := envelope.Accept(t.Context(), conn, func(int) (*protos.EnvelopeInfo, error) { return info, nil })
	if err != nil {
		t.Fatal(err)
	}
	d := slowDeployer{&plainHandler{e: e}, make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { e.Serve(d) })
	if err := e.UpdateComponents([]string{"t/p/A"}); err != nil {
		t.Fatal(err)
	}

	health := func(done func(*protos.GetHealthReply) bool) (reply *protos.GetHealthReply) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); runtime.Gosched() {
			if reply, err = e.Health(t.Context()); err != nil {
				t.Fatal(err)
			}
			if done(reply) {
				break
			}
		}
		return reply
	}
	want := []string{"the deployer has yet to hear that t/p/B is needed"}
	reply := health(func(r *protos.GetHealthReply) bool { return r.Ready || slices.Equal(r.Reasons, want) })
	if reply.Ready || !slices.Equal(reply.Reasons, want) {
		t.Errorf("before the deployer has heard: %+v", reply)
	}
	close(d.may)
	if reply := health(func(r *protos.GetHealthReply) bool { return r.Ready }); !reply.Ready {
		t.Errorf("afterwards: %+v", reply)
	}
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	serving.Wait()
}
