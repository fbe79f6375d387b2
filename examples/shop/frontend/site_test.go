package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/divisi-go/divisi"
	"github.com/divisi-go/divisi/examples/shop/ads"
	"github.com/divisi-go/divisi/examples/shop/assets"
	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/catalog"
	"github.com/divisi-go/divisi/examples/shop/checkout"
	"github.com/divisi-go/divisi/examples/shop/currency"
	"github.com/divisi-go/divisi/examples/shop/money"
	"github.com/divisi-go/divisi/examples/shop/payment"
	"github.com/divisi-go/divisi/examples/shop/trail"
)

// stage is a backend with two products, on which every component can be made to fail.
type stage struct {
	fail   map[string]error
	throws string // the component that panics
	orders []checkout.Order
}

var drum = catalog.Product{
	ID: "drum", Name: "Drum & <b>bass</b>", Category: "rhythm", Tagline: "loud", Text: "One.\nTwo.",
	Picture: "triangle.png", Alt: `a "drum"`, Price: money.Euro(10, 0), Grams: 1,
}

var flute = catalog.Product{
	ID: "flute", Name: "Flute", Category: "winds", Tagline: "soft", Text: "Air.",
	Picture: "recorder.svg", Alt: "a flute", Price: money.Euro(5, 0), Grams: 1,
}

func (s *stage) play(name string) (trail.Trail, error) {
	if s.throws == name {
		panic("the " + name + " has fallen off the stage")
	}
	return trail.Trail{{Component: name + ".T", Replica: "test/" + name + "/0", Pid: 100 + len(name)}}, s.fail[name]
}

type (
	stageAds      struct{ *stage }
	stageAssets   struct{ *stage }
	stageCart     struct{ *stage }
	stageCatalog  struct{ *stage }
	stageCheckout struct{ *stage }
	stageCurrency struct{ *stage }
	stageOthers   struct{ *stage }
)

func (s stageAds) Choose(context.Context, []string, string, string) (ads.Ad, error) {
	served, err := s.play("ads")
	return ads.Ad{Text: "Buy a <drum>", Product: "drum", Served: served}, err
}

func (s stageAssets) Get(_ context.Context, name, etag string) (assets.File, error) {
	served, err := s.play("assets")
	if name != "style.css" && err == nil {
		err = assets.ErrUnknown
	}
	return assets.File{Type: "text/css", ETag: `"1"`, Data: []byte("b{}"), Served: served}, err
}

func (s stageCatalog) List(_ context.Context, category string) (catalog.Products, error) {
	served, err := s.play("catalog")
	found := catalog.Products{Served: served}
	for _, p := range []catalog.Product{drum, flute} {
		if category == "" || p.Category == category {
			found.List = append(found.List, p)
		}
	}
	return found, err
}

func (s stageCatalog) Product(_ context.Context, id string) (catalog.Detail, error) {
	served, err := s.play("catalog")
	if err == nil && id != "drum" {
		err = fmt.Errorf("%w: %s", catalog.ErrUnknown, id)
	}
	return catalog.Detail{Product: drum, Served: served}, err
}

func (s stageCatalog) Lookup(context.Context, []string) (catalog.Products, error) {
	return catalog.Products{}, errors.New("the frontend does not look up")
}

func (s stageCatalog) Search(context.Context, string) (catalog.Products, error) {
	served, err := s.play("catalog")
	return catalog.Products{List: []catalog.Product{drum}, Served: served}, err
}

func (s stageCart) View(_ context.Context, r cart.Request) (cart.Contents, error) {
	served, err := s.play("cart")
	c := cart.Contents{Lines: r.Lines, Count: cart.Count(r.Lines), Subtotal: money.Money{Currency: r.Currency}, Served: served}
	for _, line := range r.Lines {
		c.Items = append(c.Items, cart.Item{Product: drum, Quantity: line.Quantity, Price: drum.Price, Total: drum.Price})
	}
	return c, err
}

func (s stageCart) Change(ctx context.Context, r cart.Request, c cart.Change) (cart.Contents, error) {
	switch {
	case c.Quantity > cart.MaxQuantity:
		return cart.Contents{}, cart.ErrQuantity
	case c.Product != "drum":
		return cart.Contents{}, catalog.ErrUnknown
	}
	r.Lines = []cart.Line{{Product: c.Product, Quantity: c.Quantity}}
	return s.View(ctx, r)
}

func (s stageCurrency) Convert(_ context.Context, amounts []money.Money, _ string) (currency.Converted, error) {
	served, err := s.play("currency")
	return currency.Converted{Amounts: amounts, Served: served}, err
}

func (s stageOthers) Suggest(context.Context, []string, int) (catalog.Products, error) {
	served, err := s.play("recommendations")
	return catalog.Products{List: []catalog.Product{flute}, Served: served}, err
}

func (s stageCheckout) Quote(_ context.Context, r cart.Request, _ string) (checkout.Quote, error) {
	served, err := s.play("checkout")
	if len(r.Lines) == 0 {
		err = checkout.ErrEmpty
	}
	return checkout.Quote{Shipping: money.Euro(1, 0), Total: money.Euro(11, 0), Served: served}, err
}

func (s stageCheckout) PlaceOrder(ctx context.Context, o checkout.Order) (checkout.Confirmation, error) {
	quote, err := s.Quote(ctx, o.Cart, o.Address.Country)
	if err == nil {
		err = s.fail["order"]
	}
	if err == nil {
		s.orders = append(s.orders, o)
	}
	return checkout.Confirmation{Order: o.ID, Quote: quote, Tracking: "TT-1", Mailed: true, Served: quote.Served}, err
}

func (s *stage) site() *site {
	return &site{
		backend: backend{
			ads: stageAds{s}, assets: stageAssets{s}, cart: stageCart{s}, catalog: stageCatalog{s},
			checkout: stageCheckout{s}, currency: stageCurrency{s}, recommendations: stageOthers{s},
		},
		self:   divisi.Identity{Component: "frontend", Replica: "test/main/0", Pid: 1},
		jar:    testJar,
		logger: slog.New(slog.DiscardHandler),
	}
}

// ask sends a request as clara, whose cart holds two drums.
func ask(h http.Handler, method, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.AddCookie(&http.Cookie{Name: userCookie, Value: clara.User})
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: testJar.seal(clara)})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// after returns clara's session after an answer.
func after(t *testing.T, w *httptest.ResponseRecorder) session {
	t.Helper()
	for _, cookie := range w.Result().Cookies() {
		if cookie.Name == sessionCookie {
			s, ok := testJar.open(clara.User, cookie.Value)
			if !ok {
				t.Fatalf("the session %q does not open", cookie.Value)
			}
			return s
		}
	}
	return clara
}

var address = url.Values{
	"name": {"Clara"}, "street": {"Gasse 7"}, "postcode": {"1070"}, "city": {"Wien"}, "country": {"AT"},
	"email": {"clara@example.com"}, "card": {"4242 4242 4242 4242"}, "expiry": {"12/99"}, "code": {"123"},
}

func with(form url.Values, name, value string) url.Values {
	changed := url.Values{}
	for k, v := range form {
		changed[k] = v
	}
	changed.Set(name, value)
	return changed
}

func TestPages(t *testing.T) {
	for _, test := range []struct {
		method, path string
		form         url.Values
		status       int
		want         []string // on the page, or where it redirects to
	}{
		{"GET", "/", nil, 200, []string{
			`data-page="home"`, "Drum &amp; &lt;b&gt;bass&lt;/b&gt;", "Buy a &lt;drum&gt;", `alt="a &#34;drum&#34;"`, `data-count="2"`,
			"served by 4 components in 4 processes", "<b>catalog</b> <span>process 107</span> <span>replica test/catalog/0</span>",
		}},
		{"GET", "/?category=winds", nil, 200, []string{`data-product="flute"`, `<h1>Winds</h1>`}},
		{"GET", "/?category=nothing", nil, 404, []string{`data-page="problem"`}},
		{"GET", "/product/drum", nil, 200, []string{`data-page="product"`, "<p>One.</p>\n<p>Two.</p>", "Goes well with", "€10.00"}},
		{"GET", "/product/theremin", nil, 404, []string{"We do not have that"}},
		{"GET", "/search?q=%3Cdrum%3E", nil, 200, []string{"1 thing for “&lt;drum&gt;”", `value="&lt;drum&gt;"`}},
		{"GET", "/search", nil, 200, []string{"What are you looking for?"}},
		{"GET", "/about", nil, 200, []string{`data-page="about"`, "served by 1 component in 1 process"}},
		{"GET", "/nowhere", nil, 404, []string{`data-page="problem"`}},
		{"DELETE", "/cart", nil, 404, []string{`data-page="problem"`}},
		{"GET", "/cart", nil, 200, []string{`data-product="drum" data-quantity="2"`}},
		{"POST", "/cart/add", url.Values{"product": {"drum"}, "quantity": {"3"}}, 303, []string{"/cart"}},
		{"POST", "/cart/add", url.Values{"product": {"theremin"}, "quantity": {"3"}}, 404, nil},
		{"POST", "/cart/add", url.Values{"product": {"drum"}}, 400, []string{"We did not understand"}},
		{"POST", "/cart/change", url.Values{"product": {"drum"}, "quantity": {"21"}}, 422, []string{"at most 20", `data-page="cart"`}},
		{"POST", "/cart/empty", nil, 303, []string{"/cart"}},
		{"POST", "/currency", url.Values{"currency": {"USD"}, "back": {"/cart"}}, 303, []string{"/cart"}},
		{"POST", "/currency", url.Values{"currency": {"USD"}, "back": {"//evil.example"}}, 303, []string{"/"}},
		{"POST", "/currency", url.Values{"currency": {"USD"}, "back": {`/\evil.example`}}, 303, []string{"/"}},
		{"POST", "/currency", url.Values{"currency": {"USD"}, "back": {"https://evil.example"}}, 303, []string{"/"}},
		{"POST", "/currency", url.Values{"currency": {"XXX"}}, 400, nil},
		{"GET", "/checkout?country=DE", nil, 200, []string{"Shipping to Germany", `<input type="hidden" name="country" value="DE">`}},
		{"POST", "/checkout", address, 200, []string{`data-page="order"`, "Thank you, Clara", clara.order(), "TT-1", `data-count="0"`}},
		{"POST", "/checkout", with(address, "street", " "), 422, []string{"Incomplete address: the street is missing.", `value="clara@example.com"`}},
		{"POST", "/checkout", with(address, "email", "clara"), 422, []string{"Not an email address"}},
		{"GET", "/favicon.ico", nil, 301, []string{"/assets/sign.png"}},
		{"GET", "/assets/style.css", nil, 200, []string{"b{}"}},
		{"GET", "/assets/nothing.css", nil, 404, nil},
	} {
		name := test.method + " " + test.path + " " + test.form.Encode()
		w := ask(new(stage).site().handler(), test.method, test.path, test.form)
		if w.Code != test.status {
			t.Errorf("%s: status %d, want %d\n%s", name, w.Code, test.status, w.Body)
			continue
		}
		if to := w.Header().Get("Location"); w.Code/100 == 3 {
			if to != test.want[0] {
				t.Errorf("%s redirects to %q, want %q", name, to, test.want[0])
			}
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: the page has no %q:\n%s", name, want, w.Body)
			}
		}
	}
}

func TestSessionsChange(t *testing.T) {
	s := new(stage)
	h := s.site().handler()
	if got := after(t, ask(h, "POST", "/cart/add", url.Values{"product": {"drum"}, "quantity": {"7"}})); cart.Count(got.Lines) != 7 {
		t.Errorf("after adding: %+v", got)
	}
	if got := after(t, ask(h, "POST", "/cart/empty", nil)); len(got.Lines) != 0 || got.Currency != "JPY" {
		t.Errorf("after emptying: %+v", got)
	}
	if got := after(t, ask(h, "POST", "/currency", url.Values{"currency": {"USD"}})); got.Currency != "USD" || cart.Count(got.Lines) != 2 {
		t.Errorf("after changing the currency: %+v", got)
	}
	if got := after(t, ask(h, "POST", "/checkout", address)); len(got.Lines) != 0 || got.Orders != clara.Orders+1 {
		t.Errorf("after the order: %+v", got)
	}
	// Who sends the same form again, because the answer was lost, means the same order.
	ask(h, "POST", "/checkout", address)
	if len(s.orders) != 2 || s.orders[0].ID != s.orders[1].ID || s.orders[0].ID != clara.order() {
		t.Errorf("orders %+v, want the same id twice", s.orders)
	}
}

func TestCheckoutProblems(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		want   string
		orders int // more than before
	}{
		{fmt.Errorf("cannot charge: %w", payment.Declined{Reason: "Too <poor>."}), 422, "Too &lt;poor&gt;. Nothing was charged.", 0},
		{fmt.Errorf("cannot charge: %w", payment.ErrPaid), 409, "had been placed already", 1},
		{fmt.Errorf("cannot charge: %w", divisi.RemoteCallError), 503, "no order is charged twice", 0},
		{errors.New("a bug"), 500, "A string broke", 0},
	} {
		s := &stage{fail: map[string]error{"order": test.err}}
		w := ask(s.site().handler(), "POST", "/checkout", address)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%v: status %d, want %d and %q:\n%s", test.err, w.Code, test.status, test.want, w.Body)
		}
		if strings.Contains(w.Body.String(), "4242 4242 4242 4242\"") {
			t.Errorf("%v: the card's number is given back", test.err)
		}
		got := after(t, w)
		if got.Orders != clara.Orders+test.orders || cart.Count(got.Lines) != 2 {
			t.Errorf("%v: session %+v, want the cart kept", test.err, got)
		}
	}
	w := ask(new(stage).site().handler(), "GET", "/checkout?country=XX", nil)
	if w.Code != 200 {
		t.Errorf("status %d", w.Code) // the stage ships everywhere
	}
}

// TestFailures makes one component after the other fail: without some of them there is no page,
// without others it is only shorter.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		path, component string
		status          int
	}{
		{"/", "catalog", 503},
		{"/", "currency", 503},
		{"/", "ads", 200},
		{"/product/drum", "catalog", 503},
		{"/product/drum", "recommendations", 200},
		{"/product/drum", "ads", 200},
		{"/search?q=x", "catalog", 503},
		{"/cart", "cart", 503},
		{"/cart", "recommendations", 200},
		{"/checkout", "checkout", 503},
		{"/assets/style.css", "assets", 503},
	} {
		broken := &stage{fail: map[string]error{test.component: fmt.Errorf("connection lost: %w", divisi.RemoteCallError)}}
		if w := ask(broken.site().handler(), "GET", test.path, nil); w.Code != test.status {
			t.Errorf("%s without %s: status %d, want %d", test.path, test.component, w.Code, test.status)
		}
	}
}

func TestPanic(t *testing.T) {
	w := ask((&stage{throws: "catalog"}).site().handler(), "GET", "/", nil)
	id := w.Header().Get("X-Request-Id")
	if w.Code != 500 || len(id) < 16 || !strings.Contains(w.Body.String(), `<code id="request">`+id+"</code>") {
		t.Errorf("status %d, request %q:\n%s", w.Code, id, w.Body)
	}
	if strings.Contains(w.Body.String(), "stage") {
		t.Error("the page shows what was thrown")
	}
}

func TestLargeForm(t *testing.T) {
	w := ask(new(stage).site().handler(), "POST", "/cart/add", url.Values{"product": {strings.Repeat("x", maxForm)}})
	if w.Code != http.StatusBadRequest {
		t.Errorf("status %d, want 400", w.Code)
	}
}

func TestOtherSitesSendNoForms(t *testing.T) {
	r := httptest.NewRequest("POST", "/cart/empty", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	new(stage).site().handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d, want 403", w.Code)
	}
}

func TestAssetsAreCached(t *testing.T) {
	r := httptest.NewRequest("GET", "/assets/style.css", nil)
	r.Header.Set("If-None-Match", `"1"`)
	w := httptest.NewRecorder()
	new(stage).site().handler().ServeHTTP(w, r)
	if w.Code != http.StatusNotModified || w.Body.Len() != 0 || !strings.HasPrefix(w.Header().Get("X-Served-By"), "assets.T, process 106") {
		t.Errorf("status %d, %d bytes, header %v", w.Code, w.Body.Len(), w.Header())
	}
}

func TestLastAnswersCloseConnections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := lastAnswers(ctx, new(stage).site().handler())
	if got := ask(h, "GET", "/about", nil).Header().Get("Connection"); got != "" {
		t.Errorf("before the end: Connection: %s", got)
	}
	cancel()
	if w := ask(h, "GET", "/about", nil); w.Code != 200 || w.Header().Get("Connection") != "close" {
		t.Errorf("after the end: status %d, Connection: %s", w.Code, w.Header().Get("Connection"))
	}
}

func TestConfig(t *testing.T) {
	for key, ok := range map[string]bool{"": true, "short": false, "0123456789abcdef": true} {
		if err := (&config{SessionKey: key}).Validate(); (err == nil) != ok {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
