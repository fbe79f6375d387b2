package frontend

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

// browser visits a shop whose components are the real ones.
type browser struct {
	t      *testing.T
	client *http.Client
	url    string
}

func open(t *testing.T, s *Server) browser {
	server := httptest.NewServer(s.site(t.Context()).handler())
	t.Cleanup(server.Close)
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, &http.Client{Jar: cookies}, server.URL}
}

func (b browser) do(r *http.Request, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (b browser) get(path string) (int, string) {
	b.t.Helper()
	return b.do(http.NewRequestWithContext(b.t.Context(), "GET", b.url+path, nil))
}

func (b browser) post(path string, form url.Values) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "POST", b.url+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return b.do(r, err)
}

func (b browser) expect(status int, body string, want ...string) {
	b.t.Helper()
	if status != 200 {
		b.t.Fatalf("status %d:\n%s", status, body)
	}
	for _, w := range want {
		if !strings.Contains(body, w) {
			b.t.Fatalf("the page has no %q:\n%s", w, body)
		}
	}
}

// TestVisit buys something in the whole shop, as one process and as if all calls were remote and
// half of them had to be sent twice.
func TestVisit(t *testing.T) {
	for _, runner := range []divisitest.Runner{divisitest.Local, divisitest.RPC} {
		runner.Test(t, func(t *testing.T, s *Server) {
			b := open(t, s)
			status, body := b.get("/")
			b.expect(status, body, "Amberley violin", "€389.00")
			status, body = b.post("/cart/add", url.Values{"product": {"violin"}, "quantity": {"1"}})
			b.expect(status, body, `data-product="violin" data-quantity="1"`)
			status, body = b.post("/cart/add", url.Values{"product": {"duets"}, "quantity": {"2"}})
			b.expect(status, body, `data-count="3"`, "€426.00") // 389 + 2 × 18.50
			status, body = b.post("/currency", url.Values{"currency": {"JPY"}, "back": {"/cart"}})
			b.expect(status, body, "¥62,765", "¥2,985", "¥68,735") // each rounded by itself
			status, body = b.get("/checkout?country=CH")
			b.expect(status, body, "Switzerland", "¥70,219") // and 9.20 for three kilograms
			status, body = b.post("/checkout", with(with(address, "country", "CH"), "card", "4000000000000002"))
			if status != 422 || !strings.Contains(body, "The bank refuses this card. Nothing was charged.") {
				t.Errorf("status %d:\n%s", status, body)
			}
			status, body = b.post("/checkout", with(address, "country", "CH"))
			b.expect(status, body, `data-page="order"`, "¥70,219", "Visa ending in 4242", "A letter to clara@example.com")
			for _, name := range []string{
				"frontend", "checkout", "cart", "shipping", "currency", "payment", "email",
			} {
				b.expect(status, body, "<b>"+name+"</b>")
			}
			status, body = b.get("/cart")
			b.expect(status, body, `data-count="0"`, "There is nothing in it yet.")
		})
	}
}

// TestForgottenCart tampers with the cookie on the way: the cart is empty, and nothing breaks.
func TestForgottenCart(t *testing.T) {
	divisitest.Local.Test(t, func(t *testing.T, s *Server) {
		b := open(t, s)
		b.expect(b.post("/cart/add", url.Values{"product": {"violin"}, "quantity": {"1"}}))
		home, err := url.Parse(b.url)
		if err != nil {
			t.Fatal(err)
		}
		for _, cookie := range b.client.Jar.Cookies(home) {
			if cookie.Name == sessionCookie {
				cookie.Value = "x" + cookie.Value
				b.client.Jar.SetCookies(home, []*http.Cookie{cookie})
			}
		}
		status, body := b.get("/cart")
		b.expect(status, body, `data-count="0"`)
		b.expect(b.post("/cart/add", url.Values{"product": {"duets"}, "quantity": {"2"}}))
		status, body = b.get("/cart")
		b.expect(status, body, `data-count="2"`)
	})
}

// element is a start tag of a page.
type element struct {
	name string
	attr map[string]string
}

// parse returns the elements of a page, and fails on tags that do not match.
func parse(t *testing.T, path, page string) []element {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Strict = false
	decoder.AutoClose = xml.HTMLAutoClose
	decoder.Entity = xml.HTMLEntity
	var all []element
	var open []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{token.Name.Local, map[string]string{}}
			for _, a := range token.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			all = append(all, e)
			open = append(open, e.name)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				t.Fatalf("%s: </%s> ends %v", path, token.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%s: %v never end", path, open)
	}
	return all
}

// TestWholeSite follows every link from the first page on, and looks at each page as a screen
// reader would.
func TestWholeSite(t *testing.T) {
	divisitest.Local.Test(t, func(t *testing.T, s *Server) {
		b := open(t, s)
		b.expect(b.post("/cart/add", url.Values{"product": {"violin"}, "quantity": {"1"}}))
		routes := s.site(t.Context()).routes()
		seen := map[string]bool{}
		todo := []string{"/", "/cart", "/checkout", "/search?q=rain", "/search?q=nothing", "/nowhere"}
		pages, files := 0, 0
		for len(todo) > 0 && len(seen) < 500 {
			path, _, _ := strings.Cut(todo[0], "#")
			todo = todo[1:]
			if seen[path] || path == "" {
				continue
			}
			seen[path] = true
			status, body := b.get(path)
			if want := map[bool]int{false: 200, true: 404}[path == "/nowhere"]; status != want {
				t.Errorf("%s: status %d, want %d", path, status, want)
			}
			if strings.HasPrefix(path, "/assets/") {
				files++
				checkFile(t, path, body)
				continue
			}
			pages++
			elements := parse(t, path, body)
			checkAccess(t, path, elements)
			todo = append(todo, links(t, path, elements, routes)...)
		}
		if pages < 30 || files < 20 {
			t.Errorf("only %d pages and %d files were seen", pages, files)
		}
	})
}

// links returns what a page refers to, and checks that its forms go somewhere.
func links(t *testing.T, path string, elements []element, routes *http.ServeMux) []string {
	var found []string
	for _, e := range elements {
		if e.name == "script" || e.attr["style"] != "" {
			t.Errorf("%s: <%s> with %v is not allowed by the page's own policy", path, e.name, e.attr)
		}
		for _, name := range []string{"href", "src", "action"} {
			to, ok := e.attr[name]
			if !ok {
				continue
			}
			if (!strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#")) || strings.HasPrefix(to, "//") {
				t.Errorf("%s: <%s> refers to %q, which is elsewhere", path, e.name, to)
				continue
			}
			if e.name != "form" {
				found = append(found, to)
				continue
			}
			method := strings.ToUpper(e.attr["method"])
			r := httptest.NewRequest(map[bool]string{true: "GET", false: method}[method == ""], to, nil)
			if _, pattern := routes.Handler(r); pattern == "/" || pattern == "" {
				t.Errorf("%s: a form goes to %s %s, which there is not", path, r.Method, to)
			}
		}
	}
	return found
}

// checkAccess checks that pictures are described and fields labelled, and ids not given twice.
func checkAccess(t *testing.T, path string, elements []element) {
	t.Helper()
	labelled := map[string]bool{}
	ids := map[string]int{}
	count := map[string]int{}
	for _, e := range elements {
		count[e.name]++
		if e.name == "label" {
			labelled[e.attr["for"]] = true
		}
		if id := e.attr["id"]; id != "" {
			ids[id]++
		}
	}
	for _, e := range elements {
		switch {
		case e.name == "img":
			if alt, ok := e.attr["alt"]; !ok || alt == "" && e.attr["src"] != "/assets/sign.svg" {
				t.Errorf("%s: the picture %s has no description", path, e.attr["src"])
			}
			if e.attr["width"] == "" || e.attr["height"] == "" {
				t.Errorf("%s: the picture %s makes the page jump", path, e.attr["src"])
			}
		case (e.name == "input" && e.attr["type"] != "hidden" || e.name == "select") && !labelled[e.attr["id"]]:
			t.Errorf("%s: the field %v has no label", path, e.attr)
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%s: the id %q is there %d times", path, id, n)
		}
	}
	for _, name := range []string{"html", "title", "header", "nav", "main", "h1", "footer"} {
		if count[name] != 1 {
			t.Errorf("%s: %d times <%s>", path, count[name], name)
		}
	}
}

// checkFile checks that a browser could show a file.
func checkFile(t *testing.T, path, body string) {
	t.Helper()
	switch {
	case strings.HasSuffix(path, ".png"):
		if _, err := png.Decode(strings.NewReader(body)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	case strings.HasSuffix(path, ".svg"):
		decoder := xml.NewDecoder(strings.NewReader(body))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
				break
			}
		}
	default:
		if strings.Count(body, "{") != strings.Count(body, "}") || regexp.MustCompile(`url\(|@import`).MatchString(body) {
			t.Errorf("%s: braces do not match, or it loads something else", path)
		}
	}
}

// TestPagesRepeat checks that the same request gets the same page, as long as the shop
// is the same: what a customer sees may not depend on which replica answers.
func TestPagesRepeat(t *testing.T) {
	divisitest.Local.Test(t, func(t *testing.T, s *Server) {
		b := open(t, s)
		b.expect(b.get("/"))
		served := regexp.MustCompile(`(?s)<section id="served".*?</section>`)
		for _, path := range []string{"/", "/product/violin", "/search?q=wood", "/cart"} {
			var bodies []string
			for range 3 {
				status, body := b.get(path)
				b.expect(status, body)
				bodies = append(bodies, served.ReplaceAllString(body, ""))
			}
			if different := slices.Compact(bodies); len(different) != 1 {
				t.Errorf("%s: %s", path, fmt.Sprint(len(different), " different pages"))
			}
		}
	})
}
