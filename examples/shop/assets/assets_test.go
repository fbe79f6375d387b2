package assets

import (
	"bytes"
	"errors"
	"image/png"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	a := new(assets)
	if err := a.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, kind, begin string }{
		{"style.css", "text/css; charset=utf-8", ":root"},
		{"violin.svg", "image/svg+xml", "<svg "},
		{"cello.png", "image/png", "\x89PNG"},
	} {
		got, err := a.Get(t.Context(), test.name, "")
		if err != nil || got.Type != test.kind || !bytes.HasPrefix(got.Data, []byte(test.begin)) || len(got.Served) != 1 {
			t.Errorf("%s is %q of %d bytes (%v)", test.name, got.Type, len(got.Data), err)
		}
		if len(got.ETag) < 10 || !strings.HasPrefix(got.ETag, `"`) || !strings.HasSuffix(got.ETag, `"`) {
			t.Errorf("%s has the tag %s", test.name, got.ETag)
		}
		again, err := a.Get(t.Context(), test.name, got.ETag)
		if err != nil || again.ETag != got.ETag || len(again.Data) != 0 {
			t.Errorf("%s is sent again: %d bytes with the tag %s (%v)", test.name, len(again.Data), again.ETag, err)
		}
		if once, err := a.Get(t.Context(), test.name, `"old"`); err != nil || !bytes.Equal(once.Data, got.Data) {
			t.Errorf("%s is not sent to who has an old one (%v)", test.name, err)
		}
	}
	picture, err := a.Get(t.Context(), "cello.png", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(picture.Data)); err != nil {
		t.Error(err)
	}
	if _, err := a.Get(t.Context(), "theremin.png", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v, want ErrUnknown", err)
	}
}

// TestReplicasAgree checks that two replicas draw the same, or browsers would load everything
// again and again.
func TestReplicasAgree(t *testing.T) {
	var tags []string
	for range 2 {
		a := new(assets)
		if err := a.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := a.Get(t.Context(), "kalimba.png", "")
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, got.ETag)
	}
	if tags[0] != tags[1] {
		t.Errorf("tags %v", tags)
	}
}
