package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/interrupt"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/pipe"
	"github.com/divisi-go/divisi/internal/session"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// reportTime bounds how long a report may wait for its answer.
const reportTime = 2 * time.Second

var errDeployerGone = errors.New("the deployer has gone")

// control is a weavelet in the hands of its deployer: what the deployer may ask of it, and how it
// lives.
type control struct {
	w         *weavelet.Weavelet
	network   *remoteNetwork
	deployers *session.Session
	server    *call.Server
	pulse     *pulse
	profiler  *profiler
	measures  measures
	starts    chan []string // components that the deployer wants here
	fatal     chan error    // the first failure that ends the process
	once      sync.Once     // closes announced
	announced chan struct{} // closed when the deployer asks to drain

	mu     sync.Mutex // guards wanted
	wanted []string   // components that the weavelet was asked to run

	alone []string // components that it runs without having been asked
}

var _ session.Hosted = (*control)(nil)

func newControl(w *weavelet.Weavelet, n *remoteNetwork, deployers *session.Session) *control {
	p := newPulse(w, n.logger)
	p.pauses, p.attended = len(n.info.Features) > 0, deployers.Attendance
	p.unheard, p.heard = n.unheard, n.understood
	c := &control{
		w: w, network: n, deployers: deployers, server: n.server(w), pulse: p, profiler: newProfiler(),
		starts: make(chan []string), fatal: make(chan error, 1), announced: make(chan struct{}),
	}
	if len(n.info.Features) == 0 {
		c.measures.sent = map[uint64]*protos.MetricValue{}
	}
	return c
}

// UpdateComponents has the components started that are to run here. It does not wait for that: a
// component may need others that the deployer has yet to name. But from now on the weavelet is not
// ready before they are. A component that cannot start ends the process, because what it said is in
// its log and the deployer restarts it.
func (c *control) UpdateComponents(ctx context.Context, r *protos.UpdateComponentsRequest) (
	*protos.UpdateComponentsReply, error) {
	var names []string
	for _, component := range r.Components {
		if component == string(name.Main) || component == string(name.OldMain) {
			continue // runs if, and only if, the handshake said so
		}
		names = append(names, component)
	}
	if err := c.w.Expect(names...); err != nil {
		return nil, err
	}
	c.pulse.look()

	select {
	case c.starts <- names:
		c.want(names)
		return &protos.UpdateComponentsReply{}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// boot has the weavelet start what a record says, and call others where it says.
func (c *control) boot(b *session.Boot) {
	c.network.foretell(b.Routes)
	c.alone = b.Components
}

// want notes which components are to run here.
func (c *control) want(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(c.wanted, name) {
			c.wanted = append(c.wanted, name)
		}
	}
}

// Describe says how the weavelet is, to a deployer that takes over.
func (c *control) Describe(info *protos.WeaveletInfo) {
	c.mu.Lock()
	info.Components = slices.Clone(c.wanted)
	c.mu.Unlock()

	info.Routes, info.Listeners = c.network.told()
	info.Draining = c.isAnnounced()
}

// Resume tells a deployer that has taken over what the weavelet uses and where it listens.
func (c *control) Resume(ctx context.Context) { c.network.tellAgain(ctx) }

func (c *control) fail(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// UpdateRoutingInfo takes where a component is.
func (c *control) UpdateRoutingInfo(_ context.Context, r *protos.UpdateRoutingInfoRequest) (
	*protos.UpdateRoutingInfoReply, error) {
	info := r.RoutingInfo
	if info == nil || info.Component == "" {
		return nil, errors.New("routing information without a component")
	}

	linked := false
	if info.Assignment != nil {
		linked = c.w.Assigned(info.Component, info.Assignment.Version)
	}
	route, ok := c.network.route(info.Component)
	switch {
	case !ok && linked:
		// A weavelet that only hosts the component is told for the sake of its load reports.
		return &protos.UpdateRoutingInfoReply{}, nil
	case !ok:
		return nil, fmt.Errorf("nothing in this weavelet uses %s", info.Component)
	}
	if err := route.update(info); err != nil {
		return nil, err
	}
	return &protos.UpdateRoutingInfoReply{}, nil
}

// GetHealth answers that the process lives, and which of its components take calls.
func (c *control) GetHealth(context.Context, *protos.GetHealthRequest) (*protos.GetHealthReply, error) {
	return c.pulse.reply(), nil
}

// GetProfile takes a profile.
func (c *control) GetProfile(ctx context.Context, r *protos.GetProfileRequest) (
	*protos.GetProfileReply, error) {
	data, err := c.profiler.profile(ctx, r)
	if err != nil {
		return nil, err
	}
	return &protos.GetProfileReply{Data: data}, nil
}

// Drain has the listeners and the call server serve what they have accepted, and send everybody else
// elsewhere. The process goes on until it is told to end, and so does the drain: the next deployer waits
// for the same one.
func (c *control) Drain(ctx context.Context, r *protos.DrainRequest) (*protos.DrainReply, error) {
	c.once.Do(func() { close(c.announced) })
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(r.TimeoutMicros)*time.Microsecond)
	defer cancel()

	c.w.Drain(ctx)
	return &protos.DrainReply{}, c.server.Drain(ctx)
}

// serve runs the weavelet until the deployer is gone, the process is told to end, or the program has
// returned. Until then calls and the deployer's questions are answered.
func (c *control) serve(ctx context.Context, l net.Listener, d deployment) error {
	if c.network.info.RunMain {
		// Before the deployer names other components: once those ran, it would seem ready without main.
		if err := c.w.Expect(d.hosts...); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hosting, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()

	go c.network.serve(hosting)
	go c.pulse.serve(hosting, func(h *protos.GetHealthReply) {
		if c.deployers.Attended() { // a deployer that comes later asks
			c.report(hosting, &protos.ReportRequest{Health: h})
		}
	})
	go func() {
		err := c.deployers.Serve(hosting, c)
		if hosting.Err() == nil {
			d.gone()
			cancel(fmt.Errorf("%w: %w", errDeployerGone, err))
		}
	}()
	go func() {
		if err := c.server.Serve(hosting, l); err != nil {
			c.fail(err)
		}
	}()
	go func() { cancel(c.fate(ctx, d.asked)) }()
	if len(c.alone) > 0 {
		_, err := c.UpdateComponents(ctx, &protos.UpdateComponentsRequest{Components: c.alone})
		if err != nil && ctx.Err() == nil {
			c.fail(err)
		}
	}

	if !c.network.info.RunMain {
		<-ctx.Done()
		end(ctx, c.w, c.server.Drain)
		return context.Cause(ctx)
	}
	err := d.program(ctx, c.w, c.server.Drain)
	if err == nil {
		c.finish(ctx)
	}
	return err
}

// fate starts what the deployer wants here, until something ends the process: it returns what.
func (c *control) fate(ctx context.Context, asked <-chan string) error {
	var first time.Time // somebody asked for the end
	left := make(chan error, 1)
	for {
		select {
		case names := <-c.starts:
			go func() {
				if err := c.w.Host(ctx, names...); err != nil {
					c.fail(err)
				}
			}()
		case err := <-c.fatal:
			if ctx.Err() == nil {
				c.network.logger.Error("cannot go on", "err", err)
			}
			return err
		case reason := <-asked:
			switch {
			case c.isAnnounced():
				return errStop
			case first.IsZero():
				first = time.Now()
				go func() { left <- c.leave(ctx, reason) }()
			case time.Since(first) >= interrupt.Impatience:
				return fmt.Errorf("%w, twice: %s", errSignal, reason)
			}
		case err := <-left:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// finish tells the deployer that the program has returned. If there is none, but one may come, it waits for
// that one: whoever sees a process end that has told nobody starts it again.
func (c *control) finish(ctx context.Context) {
	if err := c.deployers.Await(ctx); err != nil {
		return // somebody has asked the process to end
	}
	c.report(context.WithoutCancel(ctx), &protos.ReportRequest{Finished: true})
}

func (c *control) isAnnounced() bool {
	select {
	case <-c.announced:
		return true
	default:
		return false
	}
}

// leave tells the deployer that somebody has asked this process to end, so that it sends callers
// elsewhere, drains the process, and asks it to end itself. It returns the cause to end at once, nil if
// the deployer has understood.
func (c *control) leave(ctx context.Context, reason string) error {
	if !c.deployers.Attended() {
		return errStop // there is nobody to wait for
	}
	asked, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	reply, err := c.deployers.Report(asked, &protos.ReportRequest{Leaving: reason})
	switch {
	case errors.Is(err, errors.ErrUnsupported), err == nil && reply.End:
		return errStop // the deployer asks by signals, or has asked by this one
	case err != nil:
		return fmt.Errorf("%w: %s", errSignal, reason)
	}

	c.network.logger.Warn("asked to end, but not by the deployer: waiting to be drained", "reason", reason)
	select {
	case <-c.announced:
	case <-ctx.Done():
	case <-time.After(weavelet.StopTime):
		return fmt.Errorf("%w: %s; and the deployer has not drained it within %v", errSignal, reason, weavelet.StopTime)
	}
	return nil
}

// report tells the deployer something, if it takes reports.
func (c *control) report(ctx context.Context, r *protos.ReportRequest) {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	_, err := c.deployers.Report(ctx, r)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, pipe.ErrClosed) {
		c.network.logger.Warn("the deployer does not take a report", "err", err)
	}
}
