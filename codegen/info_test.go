package codegen

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

var fullInfo = Info{
	Name: "example.com/shop/Cart#fast", Impl: "example.com/shop/cart",
	Refs: []string{"example.com/shop/Stock", "example.com/shop/Price#eu"}, Listeners: []string{"web", "api"},
	Methods: []string{"Add", "Get"}, Config: true, Routed: true, Singleton: true, Always: true, Main: true,
	More: []string{"calls example.com/shop/Stock.Take", "experimental"},
}

func TestInfoText(t *testing.T) {
	for _, info := range []Info{fullInfo, {Name: "a/B", Impl: "a/b"}} {
		got, err := ParseInfo(info.Text())
		if err != nil || !reflect.DeepEqual(got, info) {
			t.Errorf("%+v came back as %+v, %v", info, got, err)
		}
	}
	const want = "⟦divisi1\ncomponent a/B\nimpl a/b\nmethod Do\nmain\nsum 3da1508d\n⟧"
	if got := (Info{Name: "a/B", Impl: "a/b", Methods: []string{"Do"}, Main: true}).Text(); got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if v := fullInfo.Variant(); v != "fast" {
		t.Errorf("variant %q", v)
	}
}

func TestDamagedInfo(t *testing.T) {
	good := fullInfo.Text()
	for _, text := range []string{
		"", "⟦divisi1\n⟧", good[:len(good)-1], good[1:],
		strings.Replace(good, "Cart", "Card", 1),
		strings.Replace(good, "sum ", "sum x", 1),
		Info{Impl: "a/b"}.Text(),
	} {
		if _, err := ParseInfo(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestFindInfos(t *testing.T) {
	other := Info{Name: "a/B", Impl: "a/b"}
	long := Info{Name: "a/C", Refs: []string{strings.Repeat("x", MaxInfo)}}
	binary := bytes.Join([][]byte{
		[]byte("code"), []byte(infoBegin), []byte(fullInfo.Text()), []byte("⟦divisi1\nnothing⟧"),
		[]byte(infoBegin + strings.Repeat("x", MaxInfo)), []byte(other.Text()), []byte(long.Text()), []byte(infoEnd),
		[]byte(other.Text()[:20]),
	}, []byte{0})
	found := FindInfos(binary)
	if !reflect.DeepEqual(found, []Info{fullInfo, other}) {
		t.Errorf("found %+v", found)
	}
}

// TestNewerInfo reads what a later version may write.
func TestNewerInfo(t *testing.T) {
	info := Info{Name: "a/B", Impl: "a/b", More: []string{"flag", "calls a/C.Do", "calls a/C.Undo"}}
	got, err := ParseInfo(info.Text())
	if err != nil || !reflect.DeepEqual(got, info) {
		t.Errorf("%+v came back as %+v, %v", info, got, err)
	}
}

func FuzzFindInfos(f *testing.F) {
	f.Add([]byte(fullInfo.Text()))
	f.Add([]byte("x" + fullInfo.Text() + infoBegin + Info{Name: "a/B"}.Text()))
	f.Add([]byte(infoBegin + infoBegin + infoEnd + infoEnd))
	f.Add([]byte(infoBegin + "component a\nsum 0\n" + infoEnd))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, info := range FindInfos(data) {
			again, err := ParseInfo(info.Text())
			if err != nil || !reflect.DeepEqual(again, info) {
				t.Fatalf("%+v came back as %+v, %v", info, again, err)
			}
		}
	})
}
