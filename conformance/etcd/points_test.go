package etcd

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// patch is one place of the source that is another one in the programs that tests build, by the flag -overlay of the go
// command. So nothing of points and plants is in what ships, or in the source that one reads.
type patch struct{ file, was, is string }

// The functions that patches may call, which every package with a patch gets.
const faults = `package %s

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var faultPassed atomic.Int64

// faultPoint does FAULT_ACTION when the point FAULT_POINT is passed for the FAULT_AFTERth time.
func faultPoint(name string) {
	if name != os.Getenv("FAULT_POINT") || strconv.FormatInt(faultPassed.Add(1), 10) != os.Getenv("FAULT_AFTER") {
		return
	}
	os.Stderr.WriteString("the point " + name + " is passed\n")
	action := os.Getenv("FAULT_ACTION")
	if action != "kill" {
		time.Sleep(time.Second)
	}
	if action != "sleep" {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// faultPlanted says whether a mistake is one of FAULT_PLANTS.
func faultPlanted(name string) bool {
	return slices.Contains(strings.Split(os.Getenv("FAULT_PLANTS"), " "), name)
}

// faultChoose returns the mistake where it is to be made.
func faultChoose[T any](name string, mistake, right T) T {
	if faultPlanted(name) {
		return mistake
	}
	return right
}
`

// before has a point in front of a line.
func before(point, file, line string) patch {
	return patch{file, line, fmt.Sprintf("faultPoint(%q)\n%s", point, line)}
}

// after has a point behind a line.
func after(point, file, line string) patch {
	return patch{file, line, fmt.Sprintf("%s\nfaultPoint(%q)", line, point)}
}

// mistaken has a mistake in the place of an expression.
func mistaken(plant, file, line, right, mistake string) patch {
	return patch{file, line, strings.Replace(line, right, fmt.Sprintf("faultChoose(%q, %s, %s)", plant, mistake, right), 1)}
}

// omitted has a statement left out, as a mistake.
func omitted(plant, file, statement string) patch {
	return patch{file, statement, fmt.Sprintf("if !faultPlanted(%q) {\n%s\n}", plant, statement)}
}

// overlay writes the source with all patches, and returns the file that says so to the go command.
func overlay(dir string, patches []patch) (string, error) {
	root, err := filepath.Abs("../../store")
	if err != nil {
		return "", err
	}
	text, replaced := map[string]string{}, map[string]string{}
	for _, p := range patches {
		path := filepath.Join(root, p.file)
		if text[path] == "" {
			source, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			text[path] = string(source)
			folder := filepath.Dir(path)
			text[filepath.Join(folder, "faults.go")] = fmt.Sprintf(faults, packageOf(string(source)))
		}
		if n := strings.Count(text[path], p.was); n != 1 {
			return "", fmt.Errorf("%s has %d times what a patch is for, and not once: %s", p.file, n, p.was)
		}
		text[path] = strings.Replace(text[path], p.was, p.is, 1)
	}
	for path, source := range text {
		patched := filepath.Join(dir, fmt.Sprintf("%d.go", len(replaced)))
		if err := os.WriteFile(patched, []byte(source), 0o600); err != nil {
			return "", err
		}
		replaced[path] = patched
	}
	list, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

var packageLine = regexp.MustCompile(`(?m)^package (\w+)`)

func packageOf(source string) string { return packageLine.FindStringSubmatch(source)[1] }

// builds are the programs that were built, by their names.
var builds sync.Map

// compiled returns a program with all points and plants, which is built once.
func compiled(t *testing.T, name string, command ...string) string {
	t.Helper()
	once, _ := builds.LoadOrStore(name, sync.OnceValues(func() (string, error) { return build(name, command...) }))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build compiles a package of the store with all patches, as a program of that name in the folder of binaries.
func build(name string, command ...string) (string, error) {
	dir, err := os.MkdirTemp(binaries, name+"-*")
	if err != nil {
		return "", err
	}
	file, err := overlay(dir, patches())
	if err != nil {
		return "", err
	}
	program := filepath.Join(binaries, name)
	last := len(command) - 1
	cmd := exec.Command("go", append(append(command[:last:last], "-overlay", file, "-o", program), command[last])...)
	cmd.Dir, cmd.Env = "../../store", append(os.Environ(), "CGO_ENABLED=0")
	if *every {
		workspace, err := withPoints(dir)
		if err != nil {
			return "", err
		}
		cmd.Env = append(cmd.Env, "GOWORK="+workspace)
	}
	said, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", cmd.Args, err, said)
	}
	return program, err
}

// gofail is how etcd marks its points.
var gofail = regexp.MustCompile(`(?m)^(\s*)// gofail: var (\w+) struct\{\}$`)

// withPoints copies etcd's server, has the points in it call faultPoint, and returns a workspace with that.
func withPoints(dir string) (string, error) {
	const module = "go.etcd.io/etcd/server/v3"
	found, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", err
	}
	from, to := strings.TrimSpace(string(found)), filepath.Join(dir, "server")
	err = filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyWithPoints(path, filepath.Join(to, relative))
	})
	if err != nil {
		return "", err
	}

	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return "", err
	}
	text := regexp.MustCompile(`(?m)(\s)\.(/|$)`).ReplaceAllString(string(work), "${1}"+root+"$2")
	text += fmt.Sprintf("\nreplace %s => %s\n", module, to)
	sums, err := os.ReadFile(filepath.Join(root, "go.work.sum"))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "go.work")
	if err := os.WriteFile(file+".sum", sums, 0o600); err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func copyWithPoints(from, to string) error {
	source, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	folder := filepath.Dir(to)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if strings.HasSuffix(from, ".go") && gofail.Match(source) {
		own := fmt.Sprintf(faults, packageOf(string(source)))
		if err := os.WriteFile(filepath.Join(folder, "faults.go"), []byte(own), 0o600); err != nil {
			return err
		}
		source = gofail.ReplaceAll(source, []byte(`${1}faultPoint("$2")`))
	}
	return os.WriteFile(to, source, 0o600)
}

// fault is what a faulty store does.
type fault struct {
	point  string
	action string   // "kill", "sleep" for a second, or "late", which is both
	after  int      // at which passing of the point
	plants []string // mistakes, and "often", with which checkpoints are
}

func (f fault) env() []string {
	return append(os.Environ(), "FAULT_POINT="+f.point, "FAULT_ACTION="+f.action, fmt.Sprint("FAULT_AFTER=", f.after),
		"FAULT_PLANTS="+strings.Join(f.plants, " "))
}

// serveFaulty starts a store that does what a fault says. It does not wait until it serves.
func serveFaulty(t *testing.T, dir string, f fault, flags ...string) *program {
	t.Helper()
	path := compiled(t, "faulty", "build", "./cmd/divisi-store")
	cmd := exec.Command(path, append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.Env = f.env()
	return launched(t, cmd)
}

var every = flag.Bool("every", false, "plants, and all points: also those that etcd has in its own packages, which are compiled anew with them")

// quick are points of which TestPoints sees to in any case, and after how many passings.
var quick = map[string]int{"raftBeforeSave": 30, "beforeApplyOneEntryNormal": 60, "raftAfterSaveSnap": 2, "beforeSendWatchResponse": 20}

// slow are the other ones in the store, with one member.
var slow = map[string]int{
	"raftAfterSave": 40, "raftBeforeSaveSnap": 2, "raftAfterWALRelease": 2, "beforeCheckpointCommit": 2, "afterCheckpointCommit": 2,
	"beforeApplyOneConfChange": 2, "beforePublishing": 1,
}

// etcds are those in etcd's packages.
var etcds = map[string]int{
	"walBeforeSync": 40, "walAfterSync": 40, "raftBeforeWALSaveSnaphot": 2,
	"beforeCommit": 4, "afterCommit": 4, "commitBeforePreCommitHook": 4, "commitAfterPreCommitHook": 4,
	"beforeStartDBTxn": 4, "afterStartDBTxn": 4, "beforeWritebackBuf": 40, "afterWritebackBuf": 40,
	"compactBeforeCommitScheduledCompact": 2, "compactAfterCommitScheduledCompact": 2, "compactAfterAcquiredBatchTxLock": 2,
	"compactBeforeSetFinishedCompact": 2, "compactAfterSetFinishedCompact": 2,
	"compactBeforeCommitBatch": 2, "compactAfterCommitBatch": 2, "defragBeforeCopy": 2, "defragBeforeRename": 2,
}

// Others of etcd's points come with several members: raftBeforeLeaderSend, raftBeforeFollowerSend, raftBeforeApplySnap,
// raftAfterApplySnap, applyBeforeOpenSnapshot.

// points are the patches with the points of the store.
func points() []patch {
	return []patch{
		after("raftAfterSave", "internal/drive/loop.go", "err := d.log.Append(nil, state, entries)"),
		{"internal/drive/loop.go", "err := d.log.Append(nil, state, entries)", `if len(entries) > 0 {
			faultPoint("raftBeforeSave")
		}
		err := d.log.Append(nil, state, entries)`},
		after("raftAfterSaveSnap", "internal/disk/disk.go", "err = d.log.SaveSnap(snapshot)"),
		before("raftBeforeSaveSnap", "internal/disk/disk.go", "err = d.log.SaveSnap(snapshot)"),
		after("raftAfterWALRelease", "internal/disk/disk.go", "err = d.log.Release(snapshot)"),
		after("beforeApplyOneEntryNormal", "internal/machine/apply.go", "m.disk.Index.SetConsistentApplyingIndex(index, term)"),
		before("beforeApplyOneConfChange", "internal/machine/apply.go", "refused := m.Cluster.ValidateConfigurationChange(&change, membership.ApplyBoth)"),
		after("afterCheckpointCommit", "internal/machine/machine.go", "m.KV.Commit()"),
		before("beforeCheckpointCommit", "internal/machine/machine.go", "m.KV.Commit()"),
		before("beforePublishing", "internal/server/found.go", "_, err := s.propose(s.context, request)"),
		before("beforeSendWatchResponse", "internal/api/watch.go", "w, found := v.watches[r.WatchID]"),
		// Often is no mistake: what comes seldom comes often with it.
		mistaken("often", "internal/drive/loop.go", "last < d.checkpoint+d.Every ", "d.Every", "uint64(50)"),
		mistaken("often", "internal/machine/machine.go", "CheckpointInterval:         checkpointInterval,", "checkpointInterval", "time.Second"),
		mistaken("often", "internal/machine/machine.go", "mvcc.StoreConfig{}", "mvcc.StoreConfig{}", "mvcc.StoreConfig{CompactionBatchLimit: 10}"),
	}
}

// TestPoints: a store that dies at a point, or stands still there and dies later, has lost nothing when it is back.
func TestPoints(t *testing.T) {
	var all []fault
	for _, from := range []map[string]int{quick, slow, etcds} {
		for point, after := range from {
			all = append(all, fault{point, "kill", after, []string{"often"}})
			if *every {
				all = append(all, fault{point, "sleep", after, []string{"often"}})
			}
		}
		if !*every {
			break
		}
	}
	slices.SortFunc(all, func(a, b fault) int { return strings.Compare(a.point+a.action, b.point+b.action) })

	data, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	r := try(t, clientv3.Config{Endpoints: []string{address}}, true)
	for _, f := range all {
		r.pass(serveFaulty(t, data, f, "--listen", address), f)
	}
	serve(t, data, "--listen", address)
	r.wait(50)
	if err := r.end(); err != nil {
		t.Error(err)
	}
	t.Logf("%d faults: %s", len(all), r)
}

// pass waits until a store has passed the point of a fault, and ends it.
func (r *trial) pass(p *program, f fault) {
	r.t.Helper()
	passed := func() bool { return strings.Contains(p.said(), "the point "+f.point+" is passed") }
	r.until(fmt.Sprintf("%s at %s", f.action, f.point), func() bool { return p.over() || f.action == "sleep" && passed() })
	if !passed() {
		r.fault(fmt.Errorf("%s at %s: it has ended before:\n%s", f.action, f.point, p.said()))
	}
	if f.action == "sleep" {
		r.wait(20)
	}
	_ = p.end(syscall.SIGKILL)
}

// over says whether a program has ended.
func (p *program) over() bool {
	for {
		select {
		case _, open := <-p.lines:
			if !open {
				return true
			}
		default:
			return false
		}
	}
}
