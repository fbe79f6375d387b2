package frontend

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/money"
)

var (
	testJar = jar{key: []byte("a key for tests of this package")}
	clara   = session{User: "clara-0001", Currency: "JPY", Orders: 3, Lines: []cart.Line{{Product: "drum", Quantity: 2}}}
)

func TestSealAndOpen(t *testing.T) {
	sealed := testJar.seal(clara)
	got, ok := testJar.open(clara.User, sealed)
	if !ok || !got.equal(clara) {
		t.Errorf("opened %+v (%v), want %+v", got, ok, clara)
	}
	if sealed != testJar.seal(clara) {
		t.Error("a session is sealed in two ways")
	}
	if len(sealed) > 4000 {
		t.Errorf("a cookie of %d bytes", len(sealed))
	}
}

// TestTampering changes every byte of a sealed session.
func TestTampering(t *testing.T) {
	sealed := testJar.seal(clara)
	for i := range len(sealed) {
		for _, other := range []byte{'A', 'x', '.', '0'} {
			forged := sealed[:i] + string(other) + sealed[i+1:]
			if got, ok := testJar.open(clara.User, forged); ok && forged != sealed {
				t.Fatalf("byte %d made %q, and it opens as %+v", i, other, got)
			}
		}
		if _, ok := testJar.open(clara.User, sealed[:i]); ok {
			t.Fatalf("the first %d bytes open", i)
		}
	}
	if _, ok := testJar.open("somebody-else", sealed); ok {
		t.Error("a session opens for somebody else")
	}
	if _, ok := (jar{key: []byte("another key of the same kind")}).open(clara.User, sealed); ok {
		t.Error("a session opens with another key")
	}
	unknown := clara
	unknown.Currency = "XXX"
	if _, ok := testJar.open(clara.User, testJar.seal(unknown)); ok {
		t.Error("a session with an unknown currency opens")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("clara-0001", testJar.seal(clara))
	f.Add("clara-0001", "")
	f.Add("", ".")
	f.Add("clara-0001", "e30."+testJar.sign("clara-0001", "e30"))
	f.Add("clara-0001", "not base64."+testJar.sign("clara-0001", "not base64"))
	f.Fuzz(func(t *testing.T, user, sealed string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", userCookie+"="+user+"; "+sessionCookie+"="+sealed)
		if s, _ := testJar.read(r); !validUser(s.User) || !money.Known(s.Currency) {
			t.Errorf("%q and %q are the session %+v", user, sealed, s)
		}
		got, ok := testJar.open(user, sealed)
		if !ok {
			return
		}
		if again, ok := testJar.open(user, testJar.seal(got)); !ok || !again.equal(got) {
			t.Errorf("%+v opens as %+v (%v) the second time", got, again, ok)
		}
	})
}

func TestValidUser(t *testing.T) {
	for name, want := range map[string]bool{
		"journey-0001": true, "abcdefgh": true, strings.Repeat("a", 64): true,
		"": false, "short": false, strings.Repeat("a", 65): false,
		"UPPERCASE": false, "new\nline1": false, "semi;colon": false, "übermensch": false,
	} {
		if got := validUser(name); got != want {
			t.Errorf("%q is valid: %v, want %v", name, got, want)
		}
	}
}

func request(cookies map[string]string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func TestReadAndWrite(t *testing.T) {
	for _, test := range []struct {
		name    string
		cookies map[string]string
		forged  bool
		user    string // "" is any
		things  int
	}{
		{name: "nobody"},
		{name: "only a name", cookies: map[string]string{userCookie: "clara-0001"}, user: "clara-0001"},
		{
			name:    "everything",
			cookies: map[string]string{userCookie: "clara-0001", sessionCookie: testJar.seal(clara)},
			user:    "clara-0001", things: 2,
		},
		{
			name:    "a forged cart",
			cookies: map[string]string{userCookie: "clara-0001", sessionCookie: testJar.seal(clara) + "x"},
			user:    "clara-0001", forged: true,
		},
		{
			name:    "a stolen cart",
			cookies: map[string]string{userCookie: "frank-0001", sessionCookie: testJar.seal(clara)},
			user:    "frank-0001", forged: true,
		},
		{name: "a cart of nobody", cookies: map[string]string{sessionCookie: testJar.seal(clara)}},
		{name: "an impossible name", cookies: map[string]string{userCookie: "Clara!"}},
	} {
		r := request(test.cookies)
		got, forged := testJar.read(r)
		if forged != test.forged || test.user != "" && got.User != test.user || !validUser(got.User) ||
			cart.Count(got.Lines) != test.things {
			t.Errorf("%s: %+v, forged %v", test.name, got, forged)
		}
		// What is written is what is read the next time.
		w := httptest.NewRecorder()
		got.Lines = append(got.Lines, cart.Line{Product: "flute", Quantity: 1})
		testJar.write(w, r, got)
		next := map[string]string{}
		for name, value := range test.cookies {
			next[name] = value
		}
		for _, cookie := range w.Result().Cookies() {
			if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" {
				t.Errorf("%s: cookie %v", test.name, cookie)
			}
			next[cookie.Name] = cookie.Value
		}
		if again, forged := testJar.read(request(next)); forged || !again.equal(got) {
			t.Errorf("%s: wrote %+v, read %+v (forged %v)", test.name, got, again, forged)
		}
	}
}

func TestNothingNewIsNotWritten(t *testing.T) {
	r := request(map[string]string{userCookie: "clara-0001", sessionCookie: testJar.seal(clara)})
	w := httptest.NewRecorder()
	testJar.write(w, r, clara)
	if cookies := w.Result().Cookies(); len(cookies) > 0 {
		t.Errorf("cookies %v", cookies)
	}
}

func TestOrderNumbers(t *testing.T) {
	first := clara.order()
	if first != clara.order() || len(first) != len("T-")+16 {
		t.Errorf("order %q", first)
	}
	next, other := clara, clara
	next.Orders++
	other.User = "frank-0001"
	if next.order() == first || other.order() == first {
		t.Error("two orders have one number")
	}
}
