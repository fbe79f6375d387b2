package runtime

import (
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/message"
)

const file = `
[serviceweaver]
name = "shop"
binary = "./bin/shop"
args = ["-v"]
env = ["REGION=eu"]
colocate = [["example.com/shop/Cart", "example.com/shop/Store"]]
rollout = "10m"

["example.com/shop/Cart"]
limit = 100

["example.com/shop/Ads"]
words = ["a", "b"]
`

func TestParseConfig(t *testing.T) {
	var validated []string
	got, err := ParseConfig(filepath.FromSlash("/etc/shop/app.toml"), file, func(key, val string) error {
		validated = append(validated, key)
		if key == "example.com/shop/Cart" && !strings.Contains(val, "limit = 100") {
			t.Errorf("the section of %s is %q", key, val)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sections := []string{"example.com/shop/Ads", "example.com/shop/Cart"}
	if !slices.Equal(validated, sections) || !slices.Equal(slices.Sorted(maps.Keys(got.Sections)), sections) {
		t.Errorf("sections %q are validated, and there are %q", validated, got.Sections)
	}
	got.Sections = nil
	want := &message.AppConfig{
		Name: "shop", Binary: filepath.FromSlash("/etc/shop/bin/shop"), Args: []string{"-v"}, Env: []string{"REGION=eu"},
		Colocate:     []*message.ComponentGroup{{Components: []string{"example.com/shop/Cart", "example.com/shop/Store"}}},
		RolloutNanos: int64(10 * time.Minute),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseConfigErrors(t *testing.T) {
	_, err := ParseConfig("app.toml", file, func(key, _ string) error { return errors.New("no to " + key) })
	for _, want := range []string{
		`section "example.com/shop/Ads": no to example.com/shop/Ads`,
		`section "example.com/shop/Cart": no to example.com/shop/Cart`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %s", err, want)
		}
	}
	if _, err := ParseConfig("app.toml", "[serviceweaver]\nbinry = 'x'\n", nil); err == nil || !strings.Contains(err.Error(), "app.toml:2:1") {
		t.Errorf("an unknown key: %v", err)
	}
	if got, err := ParseConfig("app.toml", file, nil); err != nil || got.Name != "shop" {
		t.Errorf("without a validator: %v, %v", got, err)
	}
}
