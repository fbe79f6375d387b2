// Bench runs all benchmarks, one part after the other, and writes what they tell into README.md. A part that
// fails says so there, and the others go on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/divisi-go/divisi/bench/report"
)

func main() {
	b := bench{}
	only := flag.String("parts", "", "run only these, with commas between them; the aims are always computed")
	flag.StringVar(&b.file, "write", "README.md", "the Markdown file for the tables; charts come beside it")
	flag.StringVar(&b.dir, "build", "../build/bench", "the folder for programs and figures")
	flag.BoolVar(&b.short, "short", false, "measure everything for moments only, to see that it works")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench takes no arguments, and got %q\n", flag.Args())
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.run(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench is one run of all benchmarks.
type bench struct {
	file  string
	dir   string
	short bool
}

// part is what has its place in the file.
type part struct {
	name   string
	run    func(*bench, context.Context) error
	most   time.Duration // how long it may take
	builds bool          // what it runs itself
}

var parts = []part{
	{"local", (*bench).local, 5 * time.Minute, true},
	{"codec", (*bench).codec, 5 * time.Minute, true},
	{"calls", command("compare", "", "-rounds 1 -time 30ms"), 20 * time.Minute, false},
	{"overload", command("overload", "", "-rounds 1 -time 200ms"), 15 * time.Minute, false},
	{"connection", command("compare", "-connections", "-time 50ms"), 6 * time.Minute, false},
	{"chain", (*bench).chain, 5 * time.Minute, false},
	{"ready", (*bench).ready, 5 * time.Minute, false},
	{"idle", (*bench).idle, 3 * time.Minute, false},
	{"web", (*bench).web, 3 * time.Minute, false},
	{"store", (*bench).store, 8 * time.Minute, true},
	{"weight", (*bench).weight, 5 * time.Minute, true},
	{"start", (*bench).start, 5 * time.Minute, true},
	{"system", (*bench).system, 5 * time.Minute, true},
}

// run runs parts; all of them if only is "".
func (b *bench) run(ctx context.Context, only string) error {
	var err error
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	var failed error
	var names []string
	built := false
	for _, p := range parts {
		names = append(names, p.name)
		if only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		if !built && !p.builds {
			if err := b.build(ctx); err != nil {
				return err
			}
			built = true
		}
		if err := b.runPart(ctx, p); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}

	f, err := report.Load(b.dir, names...)
	if err != nil {
		return err
	}
	return errors.Join(failed, report.Put(b.file, "aims", aimsTable(f)))
}

// runPart runs a part, and puts into its place that it has failed if it has written nothing itself.
func (b *bench) runPart(ctx context.Context, p part) error {
	begin := time.Now()
	if err := (report.Figures{}).Save(b.dir, p.name); err != nil { // none of an earlier run
		return err
	}
	before, err := report.Part(b.file, p.name)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, p.most)
	defer cancel()
	failed := p.run(b, within)
	fmt.Fprintf(os.Stderr, "%s took %v\n", p.name, time.Since(begin).Round(time.Second))
	if failed == nil {
		return nil
	}

	fmt.Fprintf(os.Stderr, "%s failed: %v\n", p.name, failed)
	after, err := report.Part(b.file, p.name)
	if err != nil || ctx.Err() != nil && after == before {
		return errors.Join(failed, err)
	}
	text := fmt.Sprintf("This part failed on %s:\n\n```\n%v\n```", time.Now().Format(time.DateOnly), failed)
	if after != before {
		text = after + "\n\n" + text
	}
	return errors.Join(failed, report.Put(b.file, p.name, text))
}

// keep keeps what a part tells.
func (b *bench) keep(part string, figures report.Figures, t *report.Table) error {
	return errors.Join(figures.Save(b.dir, part), report.Put(b.file, part, report.Machine()+".\n\n"+t.String()))
}

// build builds what is run. Service Weaver's part is a module of its own, whose requirements are older than
// those of others; where it does not build, it is left out.
func (b *bench) build(ctx context.Context) error {
	for _, folder := range []string{"./compare", "./overload", "./chain", "../cmd/divisi"} {
		if err := b.compile(ctx, folder); err != nil {
			return err
		}
	}
	if err := b.compile(ctx, "serviceweaver"); err != nil {
		fmt.Fprintf(os.Stderr, "without Service Weaver: %v\n", err)
		return os.RemoveAll(b.program("serviceweaver"))
	}
	return nil
}

func (b *bench) program(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) compile(ctx context.Context, folder string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.program(filepath.Base(folder)), ".")
	cmd.Dir, cmd.Stderr = folder, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if folder == "serviceweaver" {
		cmd.Env = append(cmd.Env, "GOWORK=off")
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot build %s: %w", folder, err)
	}
	return nil
}

// command returns a part that is a program of its own, with flags, and those that make it short.
func command(name, always, short string) func(*bench, context.Context) error {
	return func(b *bench, ctx context.Context) error {
		args := append(strings.Fields(always), "-write", b.file, "-programs", b.dir, "-figures", b.dir)
		if b.short {
			args = append(args, strings.Fields(short)...)
		}
		cmd := exec.CommandContext(ctx, b.program(name), args...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends what it has started
		cmd.WaitDelay = 20 * time.Second
		return cmd.Run()
	}
}
