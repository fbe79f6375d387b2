package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call/link"
	"github.com/divisi-go/divisi/internal/inherit"
	"github.com/divisi-go/divisi/internal/interrupt"
	"github.com/divisi-go/divisi/internal/logger"
	"github.com/divisi-go/divisi/internal/logline"
	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/session"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// protocolVersion is that of the conversation: Service Weaver's v0.20.
var protocolVersion = protos.SemVer{Minor: 20}

// handshakeTime bounds the start of the conversation.
const handshakeTime = 30 * time.Second

// deployment is how a weavelet that a deployer wants is part of its process.
type deployment struct {
	files   inherit.Files  // with the pipes to a deployer, or the socket to dial one
	program program        // what runs if the main component does
	hosts   []string       // the components that the program hosts
	lines   io.Writer      // takes log entries if the deployer reads them there; may be nil
	asked   <-chan string  // why somebody asks the process to end; may be nil
	gone    func()         // called when a deployer goes first that was conversed with over pipes
	fakes   map[string]any // implementations by component, for tests
}

// runDeployed hosts what a deployer wants here.
func runDeployed(ctx context.Context, app weavelet.Application, main Main, files inherit.Files) error {
	hosts, program := main.deployed(app.Registry)
	asked := make(chan string)
	ctx, stop := interrupt.Context(ctx, errStop, asked)
	defer stop()

	quit := func() {
		fmt.Fprintln(os.Stderr, "divisi: the deployer has gone: ending")
		os.Exit(1)
	}
	err := serveDeployed(ctx, app, deployment{
		files: files, lines: os.Stderr, asked: asked,
		hosts: hosts, program: program,
		// Whatever the program's functions do meanwhile: without a deployer it ends.
		gone: func() { time.AfterFunc(orphanTime+time.Second, quit) },
	})
	if errors.Is(err, errDeployerGone) {
		quit()
	}
	return err
}

// Embedding is a weavelet that is part of a program, such as a test, which calls components but is
// none.
type Embedding struct {
	Files inherit.Files                                   // the pipes to a deployer, and sockets of listeners
	Body  func(context.Context, *weavelet.Weavelet) error // takes the place of the main component
	Fakes map[string]any                                  // implementations by component, for tests
}

// Embed runs a weavelet as part of this program. It returns when the body has returned, or the
// deployer has gone.
func Embed(ctx context.Context, app weavelet.Application, e Embedding) error {
	return serveDeployed(ctx, app, deployment{
		files: e.Files,
		gone:  func() {},
		fakes: e.Fakes,
		program: func(ctx context.Context, w *weavelet.Weavelet, drain func(context.Context) error) error {
			defer end(ctx, w, drain)
			return e.Body(ctx, w)
		},
	})
}

// converse begins the session with the deployers of this process.
func converse(ctx context.Context, files inherit.Files, boot *session.Boot) (*session.Session, *protos.EnvelopeInfo, error) {
	if files.Envelope == "" {
		return session.Pipes(files.In, files.Out)
	}
	var dialer net.Dialer
	dial := func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "unix", files.Envelope) }
	return session.Dial(ctx, dial, boot, slog.New(logger.NewConsole(os.Stderr)))
}

// bootRecord reads what the process can start from without a deployer; nil if there is nothing.
func bootRecord(files inherit.Files) (*session.Boot, error) {
	if files.Boot == "" {
		return nil, nil
	}
	file, err := os.Open(files.Boot)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	record, err := session.ReadBoot(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files.Boot, err)
	}
	if files.Certificate == nil {
		return record, nil
	}

	defer files.Certificate.Close()
	// Processes that were started before may have read the same file.
	record.Certificate, err = session.ReadCertificate(io.NewSectionReader(files.Certificate, 0, math.MaxInt64))
	if err != nil {
		return nil, err
	}
	return record, nil
}

// listen listens for other weavelets.
func listen(info *protos.EnvelopeInfo, boot *session.Boot) (net.Listener, error) {
	path, ok := strings.CutPrefix(info.InternalAddress, inherit.UnixScheme)
	if ok && boot != nil {
		_ = os.MkdirAll(filepath.Dir(path), 0o700) // while nobody was there, somebody may have tidied up
	}
	return link.Listen(cmp.Or(info.InternalAddress, "localhost:0"))
}

// serveDeployed does the handshake and hosts components until the end.
func serveDeployed(ctx context.Context, app weavelet.Application, d deployment) error {
	boot, err := bootRecord(d.files)
	if err != nil {
		// A deployer tells it the same, if there is one; else one has to come.
		slog.New(logger.NewConsole(os.Stderr)).Warn("cannot start without a deployer: the boot record cannot be read", "err", err)
	}
	deployers, info, err := converse(ctx, d.files, boot)
	if err != nil {
		return fmt.Errorf("cannot begin the conversation with the deployer: %w", err)
	}
	defer deployers.Close()
	l, err := listen(info, boot)
	if err != nil {
		return fmt.Errorf("cannot listen for other weavelets: %w", err)
	}

	self := weavelet.Here()
	self.App, self.Version, self.Group = info.App, info.DeploymentId, info.Group
	self.Replica, self.Domain = cmp.Or(info.Name, info.Id), name.Domain(info.App)
	if server, err := name.ParseServer(info.Name); err == nil {
		self.Domain = server.Domain
	}
	queue := logger.NewQueue()
	log := slog.New(queue.Handler(logline.Entry{Version: info.DeploymentId, Node: self.Replica}))
	logs := sendEntries(info, deployers.SendLogEntry)
	if d.lines != nil && slices.Contains(info.Features, protos.FeatureLogLines) {
		logs = writeLines(d.lines, info.LogKey)
	}
	spans := resource(self)
	bridge := bridgeOf(ctx)
	if _, err := bridge.start(ctx, spans, deployers.SendTraceSpans); err != nil {
		return err
	}
	tracer := trace.NewRecorder(bridge.options(spans, deployers.SendTraceSpans))

	// Logs and spans outlive what they are about.
	defer bridge.shutdown(ctx)
	defer tell(ctx, func(ctx context.Context) { queue.Serve(ctx, logs) }, func(ctx context.Context) { tracer.Serve(ctx) })()

	if err := deployers.Hello(&protos.WeaveletInfo{
		DialAddr: dialAddress(l, info.Mtls), Pid: int64(self.Pid), Version: &protocolVersion,
		Features: []string{protos.FeatureLogLines, protos.FeatureLocalVerify},
	}); err != nil {
		return err
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go deployers.Keep(keeping, log)

	n := &remoteNetwork{
		info: info, deployer: deployers, files: d.files, logger: log, routes: map[string]*route{},
		needed: make(chan *codegen.Component, len(app.Registry.Components)), understood: make(chan struct{}, 1),
	}
	if info.Mtls {
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		if n.credentials, err = newCredentials(ctx, authorityOf(deployers, boot), log); err != nil {
			return err
		}
	}
	w := weavelet.New(app, weavelet.Options{
		Self: self, Logger: log, Tracer: tracer, Network: n, Fakes: d.fakes,
		CountLocal: slices.Contains(info.Features, protos.FeatureLocalMetrics),
	})
	c := newControl(w, n, deployers)
	if boot != nil && !deployers.Attended() {
		c.boot(boot)
	}
	return c.serve(ctx, l, d)
}

// lastWords is how long logs and spans may take to be told when the weavelet has ended.
const lastWords = time.Second

// tell runs functions that tell others what happens. The function that it returns has them tell the
// rest, and returns when they have.
func tell(ctx context.Context, functions ...func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan struct{}, len(functions))
	for _, f := range functions {
		go func() {
			f(ctx)
			told <- struct{}{}
		}()
	}
	return func() {
		cancel()
		for range functions {
			select {
			case <-told:
			case <-time.After(lastWords):
			}
		}
	}
}

// dialAddress is what other weavelets dial to reach a listener.
func dialAddress(l net.Listener, mtls bool) string {
	address := l.Addr().Network() + "://" + l.Addr().String()
	if mtls {
		return "mtls://" + address
	}
	return address
}
