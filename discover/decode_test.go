package discover

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is wrong with a document is said with its place.
func TestStrict(t *testing.T) {
	type document struct {
		Name  string `json:"name"`
		Ports []int  `json:"ports"`
		Inner map[string]document
	}
	for text, want := range map[string]string{
		`{}`: "",
		`{"name":"a","ports":[1,2],"Inner":{"x":{"name":"b"},"y":{"name":"b"}}}`: "",
		"{\n \"name\": \"a\",\n \"nmae\": \"b\"\n}":                              `line 3, column 2: nothing is called "nmae"`,
		"{\"Inner\":{\"x\":{},\n\"x\":{}}}":                                      `line 2, column 4: "x" is there twice`,
		`{"ports":[1,"2"]}`:                                                      `string is no int`,
		`{"name":"a"} {}`:                                                        "something follows the document",
		`{"name":"a"]`:                                                           "line 1, column 12",
		`{"name":"a"`:                                                            "the document has no end",
		``:                                                                       "the text is empty",
		`nothing`:                                                                "line 1, column 3",
		"\xff":                                                                   "line 1, column 2",
	} {
		var got document
		err := strict([]byte(text), &got)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: the error is %v, and should say %q", text, err, want)
		}
	}
}

// More than one entry is no document.
func TestDocumentOfFolder(t *testing.T) {
	_, err := JSON(Data{Entries: []Entry{{Value: []byte("1")}, {Value: []byte("2")}}}, 0)
	if err == nil || !strings.Contains(err.Error(), "EachJSON") {
		t.Errorf("the error is %v", err)
	}
}

// A strict reader takes nothing that a lenient one does not take, and reads the same.
func FuzzStrict(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":null}],"c":"d"}`, `{"a":1,"a":2}`, `[[[]]] 1`, `{"a"`, `"\ud800"`, `1e400`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want any
		err := strict(text, &got)
		lenient := json.Unmarshal(text, &want)
		if err == nil && (lenient != nil || !reflect.DeepEqual(got, want)) {
			t.Errorf("%q is %v, and %v (%v) for encoding/json", text, got, want, lenient)
		}
	})
}

// What is written to a cache is read from it; anything else is an error or what was written.
func FuzzCache(f *testing.F) {
	file := filepath.Join(f.TempDir(), "cache")
	data := Data{Version: "7", Entries: []Entry{{Key: "a", Value: []byte("1")}, {Key: "b"}}}
	err := writeCache(file, "test", data, time.Unix(1e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	got, written, err := readCache(file, "test")
	if err != nil || !equal(got.Entries, data.Entries) || got.Version != "7" || !written.Equal(time.Unix(1e9, 0)) {
		f.Fatalf("%s is read as %v of %v (%v)", text, got, written, err)
	}

	f.Add(text)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "cache")
		err := os.WriteFile(file, text, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := readCache(file, "test")
		if err == nil && (got.Version != "7" || !equal(got.Entries, data.Entries)) {
			t.Errorf("%q is taken for %v", text, got)
		}
	})
}

// Whatever Consul, or something else, answers is data of a version that is a higher index, or an error.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "7", "3", "", []byte(`[{"Key":"k","Value":"djE="}]`), "5")
	f.Add(404, "7", "", "", []byte{}, "")
	f.Add(404, "", "", "", []byte("not found\nat all"), "x")
	f.Add(429, "0", "-1", "999999999999", []byte("<html>"), "18446744073709551615")
	f.Fuzz(func(t *testing.T, status int, index, age, retry string, body []byte, after string) {
		header := http.Header{"X-Consul-Index": {index}, "X-Consul-Lastcontact": {age}, "Retry-After": {retry}}
		data, err := answer(&http.Response{StatusCode: status, Status: "some status", Header: header}, body, Version(after))
		if err != nil {
			var told *SourceError
			if errors.As(err, &told) && (told.RetryAfter < 0 || told.RetryAfter > 24*time.Hour || len(err.Error()) > 300) {
				t.Errorf("%v, after %v", err, told.RetryAfter)
			}
			return
		}

		before, _ := strconv.ParseUint(after, 10, 64)
		now, malformed := strconv.ParseUint(string(data.Version), 10, 64)
		if data.Version != "" && (malformed != nil || now == 0 || now < before) {
			t.Errorf("the version is %q after %q", data.Version, after)
		}
		if data.Stale < 0 {
			t.Errorf("the data is %v old", data.Stale)
		}
	})
}

// Whatever a keeper, or something else, answers is a list of servers, or an error.
func FuzzServers(f *testing.F) {
	f.Add([]byte(`[{"server":"web-0@/shop","roles":["web"],"sockets":[{"name":"http","network":"tcp","address":"127.0.0.1:80"}]}]`))
	f.Add([]byte(`[{"server":7}]`))
	f.Add([]byte(`[null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data, err := servers(body, "v")
		if err != nil {
			return
		}
		if _, err := EachJSON[Server](data, nil); err != nil {
			t.Errorf("what is a list is none afterwards: %v", err)
		}
	})
}

// Whatever a watch is told is a change, or an error, and ends.
func FuzzWatch(f *testing.F) {
	f.Add(200, []byte(`{"result":{"header":{"revision":"5"},"created":true}}{"result":{"header":{"revision":"6"},"events":[{}]}}`))
	f.Add(200, []byte(`{"result":{"canceled":true}}`))
	f.Add(200, []byte(`{"error":{"message":"no"}}`))
	f.Add(503, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		begun := time.NewTimer(time.Hour)
		defer begun.Stop()
		response := &http.Response{StatusCode: status, Status: "some status", Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		if changed, err := watch(response, 3, begun); !changed && err == nil {
			t.Error("it has ended without a change or an error")
		}
	})
}
