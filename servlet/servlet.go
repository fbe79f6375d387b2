package servlet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Options are the bounds of servlets, and what they are told.
type Options struct {
	Env       map[string]string // variables, besides those of the request, also for init
	Limit     time.Duration     // for a request, and for init; default 10 s
	Memory    int64             // of an instance, in bytes, up to 4 GiB; default 64 MiB
	BodyMax   int64             // longest body of a request, in bytes; default 1 MiB
	AnswerMax int64             // longest answer, in bytes; default 8 MiB
	Most      int               // instances at once; further requests wait. Default 8
	Log       *slog.Logger      // default slog.Default()

	// Kept is a folder in which compiled servlets are kept for the next process, which then need not be compiled again; "" for
	// none. It is made for this user alone if it is not there. What is in it is run with the rights of this process, so nobody
	// else may write there.
	Kept    string
	KeptMax int64 // bytes in that folder, beyond which the oldest files are removed; default 256 MiB
}

const (
	page    = 64 << 10
	fileMax = 64 << 20 // bytes of a servlet's file
	saidMax = 64 << 10 // bytes of a request's log
)

// Servlets runs the servlets of a folder. It is safe for concurrent use.
type Servlets struct {
	Options
	runtime wazero.Runtime
	kept    *kept         // nil: nothing is kept
	slots   chan struct{} // one for each instance
	loads   chan struct{} // one file is compiled at a time
	ended   context.Context
	end     context.CancelFunc

	mu     sync.Mutex // guards what follows, and all entries
	byName map[string]*entry
}

// New returns servlets, none of which is loaded before it is asked for.
func New(o Options) (*Servlets, error) {
	o.fill()
	if o.Limit < 0 || o.Memory < page || o.Memory > 4<<30 || o.BodyMax < 0 || o.AnswerMax < 0 || o.Most < 0 || o.KeptMax < 0 {
		return nil, fmt.Errorf("cannot run servlets: no bound is below 0, and that of the memory, which is %d, is between %d and %d", o.Memory, page, int64(4<<30))
	}
	// Without reference types, tables do not grow: nothing but the memory does.
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(true).WithMemoryLimitPages(uint32((o.Memory + page - 1) / page)).
		WithCoreFeatures(api.CoreFeaturesV2 &^ api.CoreFeatureReferenceTypes)
	s := &Servlets{Options: o, slots: make(chan struct{}, o.Most), loads: make(chan struct{}, 1), byName: map[string]*entry{}}
	if o.Kept != "" {
		var err error
		if s.kept, err = keep(o.Kept); err != nil {
			return nil, fmt.Errorf("cannot keep compiled servlets: %w", err)
		}
		config = config.WithCompilationCache(s.kept.cache)
	}
	s.ended, s.end = context.WithCancel(context.Background())
	s.runtime = wazero.NewRuntimeWithConfig(s.ended, config)
	_, err := wasi_snapshot_preview1.Instantiate(s.ended, s.runtime)
	if err != nil {
		return nil, fmt.Errorf("cannot run servlets: %w", err)
	}
	return s, nil
}

func (o *Options) fill() {
	if o.Limit == 0 {
		o.Limit = 10 * time.Second
	}
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.BodyMax == 0 {
		o.BodyMax = 1 << 20
	}
	if o.AnswerMax == 0 {
		o.AnswerMax = 8 << 20
	}
	if o.Most == 0 {
		o.Most = 8
	}
	if o.KeptMax == 0 {
		o.KeptMax = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Close ends all instances. It is called when no request is answered any more.
func (s *Servlets) Close() error {
	s.end()
	s.loads <- struct{}{} // what compiles has ended
	return errors.Join(s.runtime.Close(context.Background()), s.kept.close())
}

// Handler returns who answers for a file of the folder, and for paths below it.
func (s *Servlets) Handler(folder *os.Root, name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, folder, name) })
}

// instance is what a run of a servlet has.
type instance struct {
	args []string
	env  [][2]string
	in   io.Reader
	out  io.Writer
	log  io.Writer
}

// run runs a program until it ends, or the context or its time does.
func (s *Servlets) run(ctx context.Context, p *program, i instance) error {
	ctx, cancel := context.WithTimeout(ctx, s.Limit)
	defer cancel()
	config := wazero.NewModuleConfig().WithName("").WithArgs(i.args...).WithStdin(i.in).WithStdout(i.out).WithStderr(i.log).
		WithSysWalltime().WithSysNanotime().WithNanosleep(func(ns int64) { sleep(ctx, time.Duration(ns)) }).WithRandSource(rand.Reader)
	for _, pair := range i.env {
		config = config.WithEnv(pair[0], pair[1])
	}
	for key, value := range s.Env {
		config = config.WithEnv(key, value)
	}

	module, err := s.runtime.InstantiateModule(ctx, p.code, config)
	if module != nil {
		module.Close(context.Background())
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// sleep is how instances sleep.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// slot waits until there may be one more instance.
func (s *Servlets) slot(ctx context.Context) error {
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// compile compiles a file, unless it is kept.
func (s *Servlets) compile(code []byte) (*program, error) {
	ctx := experimental.WithCompilationWorkers(s.ended, runtime.GOMAXPROCS(0))
	compiled, err := s.runtime.CompileModule(ctx, code)
	if err != nil && s.kept.mend(err) {
		compiled, err = s.runtime.CompileModule(ctx, code)
	}
	if err != nil {
		return nil, err
	}
	if s.kept != nil {
		s.kept.shrink(s.KeptMax)
	}
	return &program{code: compiled, sum: sha256.Sum256(code), users: 1}, nil
}
