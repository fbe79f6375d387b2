//go:build linux

package system_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/divisi-go/divisi/artifact"
	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/artifact/archive"
	"github.com/divisi-go/divisi/internal/artifact/manifest"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

var megabytes = flag.Int64("megabytes", 10, "of the artifact that is cut off on its way")

// exampled makes the archive of a version of an artifact that has a program, and data of a size in bytes.
func exampled(t *testing.T, to, version string, size int64) artifact.Artifact {
	t.Helper()
	dir := t.TempDir()
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(len(version))}).Read(data) // which never fails
	for path, text := range map[string]string{"bin/exampled": "#!/bin/sh\necho runs $1 " + version + "\nexec sleep 1000\n", "data": string(data)} {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	from := systemtest.Must(archive.Tree(dir))(t)
	m := manifest.Manifest{Name: "exampled", Version: version, Run: []string{"{self}/bin/exampled"}}
	m.Files = systemtest.Must(archive.Entries(from))(t)
	f := systemtest.Must(os.Create(filepath.Join(to, archive.FileName(m))))(t)
	defer f.Close()
	if err := archive.Write(f, m, from); err != nil {
		t.Fatal(err)
	}
	return artifact.Artifact{Name: m.Name, Version: version, SHA256: manifest.Sum(m.Text())}
}

// lossy is a machine whose connections are cut after some bytes, a number of times.
type lossy struct {
	agent.Here
	most            int64 // bytes before a cut
	cuts, cut, sent atomic.Int64
}

// Dial implements [system.Machine].
func (l *lossy) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.Here.Dial(ctx, network, address)
	return &frail{conn, l, l.most/2 + rand.Int64N(l.most/2)}, err
}

// frail is a connection that may be cut.
type frail struct {
	net.Conn
	way  *lossy
	left int64
}

func (f *frail) Write(p []byte) (int, error) {
	f.left -= int64(len(p))
	if f.left < 0 && f.way.cut.Load() < f.way.cuts.Load() {
		f.way.cut.Add(1)
		f.Close()
	}
	n, err := f.Conn.Write(p)
	f.way.sent.Add(int64(n))
	return n, err
}

// TestInstall: an artifact that is cut off again and again arrives whole; what is there is not sent again; its program runs;
// the version before can be had back.
func TestInstall(t *testing.T) {
	t.Parallel()
	const cuts = 20
	size := *megabytes << 20
	m := &lossy{Here: elsewhere(t), most: size / (cuts + 5)}
	m.cuts.Store(cuts)
	builds := t.TempDir()
	ctx, n, h := systemtest.NewWith(t, system.Program{Strategy: system.AllFail, Builds: builds})
	other := systemtest.Must(system.Open(ctx, n, m))(t)

	one := exampled(t, builds, "1", size)
	m.sent.Store(0)
	e := systemtest.Must(other.Install(ctx, one))(t)
	if sent := m.sent.Load(); m.cut.Load() != cuts || sent > size+size/5 {
		t.Errorf("cut %d times, %d bytes are sent for %d", m.cut.Load(), sent, size)
	}
	t.Logf("cut %d times, %d bytes are sent for %d", m.cut.Load(), m.sent.Load(), size)
	if e.Artifact != one {
		t.Errorf("%+v is installed, and not %+v", e.Artifact, one)
	}
	p := systemtest.Must(other.Ensure(ctx, n, system.Spec{Name: "exampled", Program: e.Program, Args: e.Args("well"), Ready: "log:runs well 1"}))(t)
	m.sent.Store(0)
	systemtest.Must(other.Install(ctx, one))(t)
	if sent := m.sent.Load(); sent > 20_000 {
		t.Errorf("it is there, and %d bytes are sent", sent)
	}

	two := exampled(t, builds, "1.1", 1000)
	systemtest.Must(h.Install(ctx, two))(t)
	if err := os.Remove(filepath.Join(builds, "exampled-1.1.tar.gz")); err != nil {
		t.Fatal(err)
	}
	e = systemtest.Must(other.Install(ctx, two))(t) // from this machine, which has it installed
	next := systemtest.Must(other.Ensure(ctx, n, system.Spec{Name: "next", Program: e.Program, Args: e.Args("on"), Ready: "log:runs on 1.1"}))(t)
	if p.Pid() == 0 || next.Pid() == p.Pid() {
		t.Errorf("the processes are %d and %d", p.Pid(), next.Pid())
	}
	if e = systemtest.Must(other.Revert(ctx, "exampled"))(t); e.Artifact != one {
		t.Errorf("back is %+v", e.Artifact)
	}
	if text, err := systemtest.Must(other.Dir(e.Folder))(t).Stat("data"); err != nil || text.Size() != size {
		t.Errorf("its data: %v, %v", text, err)
	}
	_, err := other.Revert(ctx, "exampled")
	has(t, err, "cannot revert exampled on other", "no version before")

	_, err = other.Install(ctx, artifact.Artifact{Name: "exampled", Version: "3", SHA256: strings.Repeat("0", 64)})
	has(t, err, "exampled-3.tar.gz", "divisi artifact install")
	_, err = other.Install(ctx, artifact.Artifact{Name: "exampled", Version: "1", SHA256: strings.Repeat("0", 64)})
	has(t, err, "exampled-1.tar.gz", "its sum is "+one.SHA256)
}
