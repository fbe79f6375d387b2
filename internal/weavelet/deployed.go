package weavelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/pipe"
	"github.com/divisi-go/divisi/internal/trace"
)

// protocolVersion is that of the conversation: Service Weaver's v0.20.
var protocolVersion = protos.SemVer{Minor: 20}

// handshakeTime bounds the start of the conversation.
const handshakeTime = 30 * time.Second

// runDeployed hosts what a deployer wants here.
func runDeployed(ctx context.Context, app Application, files inherited) error {
	ctx, stop := withSignals(ctx)
	defer stop()
	end := func() {
		fmt.Fprintln(os.Stderr, "divisi: the deployer has gone: ending")
		os.Exit(1)
	}
	err := startDeployed(ctx, app, files, os.Stderr, func() {
		// Whatever the program's functions do meanwhile: without a deployer it ends.
		time.AfterFunc(orphanTime+time.Second, end)
	})
	if errors.Is(err, errDeployerGone) {
		end()
	}
	return err
}

// Embed runs a weavelet as part of this program, over a pair of pipes to a deployer and with the
// sockets that it has for listeners. It returns when app.Embedded has returned, or the deployer has
// gone.
func Embed(ctx context.Context, app Application, in, out *os.File, sockets map[string]net.Listener) error {
	return startDeployed(ctx, app, inherited{in: in, out: out, sockets: sockets}, nil, func() {})
}

// startDeployed does the handshake and hosts components until the end. Logs are written to lines
// if the deployer reads them there, unless that is nil. If the deployer goes first, gone is called.
func startDeployed(ctx context.Context, app Application, files inherited, lines io.Writer, gone func()) error {
	conversation, info, err := pipe.NewWeavelet(files.in, files.out)
	if err != nil {
		return fmt.Errorf("cannot begin the conversation with the deployer: %w", err)
	}
	defer conversation.Close()
	l, err := call.Listen(cmp.Or(info.InternalAddress, "localhost:0"))
	if err != nil {
		return fmt.Errorf("cannot listen for other weavelets: %w", err)
	}
	self := Self{
		App: info.App, Version: info.DeploymentId, Group: info.Group,
		Replica: cmp.Or(info.Name, info.Id), Pid: os.Getpid(),
	}
	queue := newLogQueue()
	logger := slog.New(&logHandler{queue: queue, base: protos.LogEntry{
		App: info.App, Version: info.DeploymentId, Node: self.Replica,
	}})
	logs := func(e *protos.LogEntry) error {
		e.Component = peerName(info, e.Component)
		return conversation.SendLogEntry(e)
	}
	if lines != nil && slices.Contains(info.Features, protos.FeatureLogLines) {
		logs = writeLine(lines)
	}
	spans := resource(self)
	bridge := bridgeOf(ctx)
	if _, err := bridge.start(ctx, spans, conversation.SendTraceSpans); err != nil {
		return err
	}
	tracer := trace.NewRecorder(bridge.options(spans, conversation.SendTraceSpans))
	n := &remoteNetwork{
		info: info, deployer: conversation, sockets: files.sockets, logger: logger,
		routes: map[string]*route{},
	}
	n.w = newWeavelet(app, self, logger, tracer)
	n.w.network = n
	n.w.countLocal = slices.Contains(info.Features, protos.FeatureLocalMetrics)

	// Logs and spans outlive what they are about.
	defer bridge.shutdown(ctx)
	tellCtx, tellEnd := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan struct{}, 2)
	go func() { queue.serve(tellCtx, logs); told <- struct{}{} }()
	go func() { tracer.Serve(tellCtx); told <- struct{}{} }()
	defer func() {
		tellEnd()
		for range cap(told) {
			select {
			case <-told:
			case <-time.After(time.Second):
			}
		}
	}()

	if err := conversation.Hello(&protos.WeaveletInfo{
		DialAddr: n.dialAddress(l), Pid: int64(self.Pid), Version: &protocolVersion,
		Features: []string{protos.FeatureLogLines},
	}); err != nil {
		return err
	}
	if info.Mtls {
		ctx, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		if n.credentials, err = newCredentials(ctx, conversation, logger); err != nil {
			return err
		}
	}
	return n.host(ctx, conversation, n.server(), l, gone)
}
