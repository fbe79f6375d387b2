package salvage_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/divisi-go/divisi/store"
	"github.com/divisi-go/divisi/store/internal/journal"
	"github.com/divisi-go/divisi/store/internal/salvage"
)

func options(t *testing.T, dir string) salvage.Options {
	return salvage.Options{
		Dir: dir, Name: "one",
		Logger: journal.New(slog.DiscardHandler, func(err error) { t.Errorf("it cannot go on: %v", err) }),
	}
}

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(t *testing.T, s *store.Store, key string) int64 {
	t.Helper()
	r, err := s.Client().Put(t.Context(), key, "of "+key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.Revision
}

// has says whether a key is there.
func has(t *testing.T, s *store.Store, key string) bool {
	t.Helper()
	r, err := s.Client().Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return r.Count == 1
}

// TestRecover: of the folder of a member that was killed, everything is kept that was in its log. What is made is another
// store, whose revisions are none of the former one.
func TestRecover(t *testing.T) {
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "data")
	s := open(t, from)
	before := put(t, s, "first")
	var last int64
	for range 20 {
		last = put(t, s, "last")
	}
	// As kill -9 leaves it, for nothing is written when a copy is made.
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	cluster := clusterOf(t, s)

	o := options(t, dir)
	o.Skip = 1000
	if err := os.Mkdir(filepath.Join(dir, "making"), 0o700); err != nil { // a run before was cut short
		t.Fatal(err)
	}
	made, err := salvage.Recover(o)
	if err != nil {
		t.Fatal(err)
	}
	if made.Kept != last || made.Newest != last+1000 {
		t.Errorf("it has kept revision %d of %d, and goes on with %d", made.Kept, last, made.Newest)
	}
	if _, err := os.Stat(filepath.Join(made.Former, "wal")); err != nil {
		t.Errorf("the former member is gone: %v", err)
	}
	r := open(t, dir)
	if !has(t, r, "first") || !has(t, r, "last") {
		t.Error("keys are lost")
	}
	if next := put(t, r, "next"); next <= last+1000 {
		t.Errorf("the next revision is %d", next)
	}
	watched := <-r.Client().Watch(t.Context(), "last", clientv3.WithRev(before+1))
	if watched.CompactRevision != last+1000 {
		t.Errorf("who watches from before is told %+v", watched)
	}
	if now := clusterOf(t, r); now == cluster || now != made.Cluster {
		t.Errorf("the store is %x; it was %x, and is said to be %x", now, cluster, made.Cluster)
	}
	members, err := r.Client().MemberList(t.Context())
	if err != nil || len(members.Members) != 1 {
		t.Errorf("the members are %v: %v", members, err)
	}
}

func clusterOf(t *testing.T, s *store.Store) uint64 {
	t.Helper()
	r, err := s.Client().Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	return r.Header.ClusterId
}

// TestCutShort: a recovery that ended when the former member was away from its place is not served, and the next one finds
// what there was.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "k")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "member"), filepath.Join(dir, "member.former")); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Options{Dir: dir, Reserve: -1})
	if err == nil || !strings.Contains(err.Error(), "run divisi store recover again") {
		t.Errorf("it is served: %v", err)
	}
	o := options(t, dir)
	o.Skip = 1
	if _, err := salvage.Recover(o); err != nil {
		t.Fatal(err)
	}
	if !has(t, open(t, dir), "k") {
		t.Error("the key is lost")
	}
}

// TestRefused: what is no snapshot, or has no room, changes nothing.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	put(t, s, "k")
	good := filepath.Join(dir, "good")
	snapshot(t, s, good)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), data...)
	damaged[len(damaged)/2] ^= 1
	files := map[string][]byte{
		"damaged": damaged, "cut": data[:len(data)-512], "bare": data[:len(data)-32], "text": []byte(strings.Repeat("x", 544)), "empty": nil,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		file, says string
		unsummed   bool
	}{
		{"damaged", "its check sum is wrong", false},
		{"cut", "its check sum is wrong", false},
		{"bare", "it has no check sum", false},
		{"empty", "it has no check sum", false},
		{"text", "it is no database", true},
		{"none", "no such file", false},
	} {
		o := options(t, filepath.Join(dir, "made"))
		o.Unsummed = test.unsummed
		_, err := salvage.Restore(filepath.Join(dir, test.file), o)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.file, err)
		}
		left, _ := os.ReadDir(o.Dir)
		if len(left) > 0 {
			t.Errorf("%s leaves %v", test.file, left)
		}
	}

	o := options(t, filepath.Join(dir, "made"))
	o.Unsummed = true
	if _, err := salvage.Restore(filepath.Join(dir, "bare"), o); err != nil {
		t.Errorf("a copy of a database: %v", err)
	}
	if _, err := salvage.Restore(good, o); err == nil || !strings.Contains(err.Error(), "there is a store in it") {
		t.Errorf("a folder that has a store: %v", err)
	}
	if !has(t, open(t, o.Dir), "k") {
		t.Error("the key is lost")
	}
	for path, says := range map[string]string{
		filepath.Join(dir, "store"): "another process has it", filepath.Join(dir, "nowhere"): "no such file",
		good: "divisi store restore makes one of a snapshot", t.TempDir(): "there is none",
	} {
		if _, err := salvage.Recover(options(t, path)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("recovering %s: %v", path, err)
		}
	}
}

func snapshot(t *testing.T, s *store.Store, path string) {
	t.Helper()
	r, err := s.Client().Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
}
