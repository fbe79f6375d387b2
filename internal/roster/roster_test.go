package roster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program is what a record says in these tests.
type program struct {
	Binary string `json:"binary,omitempty"`
	Args   []string
}

func open(t *testing.T, dir string) *Roster {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, r *Roster, version string, content any) {
	t.Helper()
	if err := r.Write(version, content); err != nil {
		t.Fatal(err)
	}
}

// versions returns what the records of a folder are of.
func versions(t *testing.T, dir string) (versions []string) {
	t.Helper()
	records, err := Read(dir)
	if err != nil {
		t.Error(err)
	}
	for _, record := range records {
		versions = append(versions, record.Version)
	}
	return versions
}

// TestRecords has records come back as they were written, until they are removed.
func TestRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop", "versions")
	r := open(t, dir)
	if got := versions(t, dir); got != nil {
		t.Errorf("without a folder: %q", got)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("to look has made the folder")
	}

	write(t, r, "v2", program{"/cas/2/shop", nil})
	write(t, r, "v1", program{"/cas/0/shop", nil})
	write(t, r, "v1", program{"/cas/1/shop", []string{"<&>", "\u2028", "\x00"}})
	records, err := r.Records()
	if err != nil || len(records) != 2 {
		t.Fatalf("got %q, %v", records, err)
	}
	first := records[0]
	var content program
	err = json.Unmarshal(first.Content, &content)
	if first.Version != "v1" || first.Binary != "/cas/1/shop" || err != nil || content.Args[1] != "\u2028" {
		t.Errorf("got %q, %v", first, err)
	}
	if one, err := r.Load("v1"); err != nil || !reflect.DeepEqual(one, first) {
		t.Errorf("v1 is %q, %v", one, err)
	}
	for _, none := range []string{"v3", "../v1", ""} {
		if one, err := r.Load(none); err == nil {
			t.Errorf("%q is %q", none, one)
		}
	}
	if _, err := r.Load("v3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("v3: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "v1.json"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}

	for range 2 {
		if err := r.Remove("v1"); err != nil {
			t.Error(err)
		}
	}
	if got := versions(t, dir); !slices.Equal(got, []string{"v2"}) {
		t.Errorf("one is left: %q", got)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	for _, c := range []struct {
		version string
		content any
		want    string
	}{
		{"../v", program{Binary: "/shop"}, `version "../v"`},
		{"", program{Binary: "/shop"}, `version ""`},
		{"v", program{}, `its program, "" in binary, is no absolute path`},
		{"v", program{Binary: "shop"}, `its program, "shop" in binary, is no absolute path`},
		{"v", "shop", "cannot unmarshal string"},
		{"v", func() {}, "unsupported type"},
		{"v", program{"/shop", []string{strings.Repeat("a", maxRecord)}}, "it has more than 16777216 bytes"},
	} {
		if err := r.Write(c.version, c.content); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q, %.50v: got %v, want %s", c.version, c.content, err, c.want)
		}
	}
	if err := r.Remove("../v"); err == nil {
		t.Error("a record elsewhere was removed")
	}
	if files, err := list(dir); err != nil || len(files) > 0 {
		t.Errorf("the folder has %q, %v", files, err)
	}
}

// TestDamaged names the files that are no records, and returns the records.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	write(t, open(t, dir), "good", program{Binary: "/shop"})
	damaged := map[string]string{
		"empty.json":   "",
		"half.json":    `{"binary": "/sh`,
		"list.json":    `["/shop"]`,
		"nothing.json": `{}`,
		"number.json":  `{"binary": 1}`,
		"twice.json":   `{"binary": "/shop"} {}`,
		"large.json":   `{"binary": "/shop", "more": "` + strings.Repeat("a", maxRecord) + `"}`,
		"a b.json":     `{"binary": "/shop"}`,
	}
	for file, text := range damaged {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What a domain below has in its folder, and what is being written, is no record.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "eu.json"), 0o700),
		os.WriteFile(filepath.Join(dir, "token"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "new-1"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}

	records, err := Read(dir)
	if len(records) != 1 || records[0].Version != "good" || err == nil {
		t.Fatalf("got %q, %v", records, err)
	}
	lines := strings.Split(err.Error(), "\n")
	for file := range damaged {
		named := func(line string) bool {
			return strings.HasPrefix(line, filepath.Join(dir, file)) &&
				strings.HasSuffix(line, "(remove it when no process of the version runs)")
		}
		if !slices.ContainsFunc(lines, named) {
			t.Errorf("%s is not named in\n%v", file, err)
		}
	}
	if len(lines) != len(damaged) {
		t.Errorf("%d errors for %d files:\n%v", len(lines), len(damaged), err)
	}
}

// TestKilled: what was being written is no record, and the next one who opens the folder removes it.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	write(t, open(t, dir), "new-1", program{Binary: "/shop"})
	left := filepath.Join(dir, ".new-new-1.json-123")
	if err := os.WriteFile(left, []byte(`{"binary": "/sh`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, dir); !slices.Equal(got, []string{"new-1"}) {
		t.Errorf("got %q", got)
	}
	open(t, dir)
	if files, err := list(dir); err != nil || !slices.Equal(files, []string{"new-1.json"}) {
		t.Errorf("the folder has %q, %v", files, err)
	}
}

// TestWhole has a reader see a record as one of the writers left it, at any time.
func TestWhole(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	long := strings.Repeat("a", 100_000)
	write(t, r, "v", program{Binary: "/0"})
	var writers sync.WaitGroup
	defer writers.Wait()
	for w := range 4 {
		writers.Go(func() {
			for i := range 10 {
				args := []string{long[:w*i*1000]}
				err := errors.Join(r.Write("v", program{fmt.Sprint("/", w), args}),
					r.Write(fmt.Sprint("w", w), program{Binary: "/1"}), r.Remove(fmt.Sprint("w", w)))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writers.Wait(); close(written) }()
	for reads := 0; ; reads++ {
		records, err := Read(dir)
		if err != nil || len(records) == 0 || records[0].Version != "v" {
			t.Fatalf("got %d records, %v", len(records), err)
		}
		select {
		case <-written:
			return
		default:
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"binary": "/shop", "args": ["-v"]}`))
	f.Add([]byte(`{"binary": "shop"}`))
	f.Add([]byte(`null`))
	f.Add([]byte("{\"Binary\": \"/\xff\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := parse("v", text)
		if err != nil {
			return
		}
		if !filepath.IsAbs(record.Binary) || !bytes.Equal(record.Content, text) {
			t.Errorf("%q becomes %q", text, record)
		}
		if written, err := json.Marshal(record.Content); err != nil || !json.Valid(written) {
			t.Errorf("%q cannot be written again: %v", text, err)
		}
	})
}
