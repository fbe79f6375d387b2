package frontend

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/examples/shop/cart"
	"github.com/divisi-go/divisi/examples/shop/money"
)

const (
	userCookie    = "shop_user"
	sessionCookie = "shop_session"
	keepFor       = 30 * 24 * 60 * 60 // seconds
)

// session is what the shop knows of a customer. All of it lives in two cookies: a name, and the
// rest under a signature that binds it to the name.
type session struct {
	User     string      `json:"-"`
	Currency string      `json:"c"`
	Orders   int         `json:"o,omitempty"` // placed so far
	Lines    []cart.Line `json:"l,omitempty"`
}

// order returns the id of the order that is placed next. It depends on nothing else, so that a
// customer who presses the button twice places one order.
func (s session) order() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "order %d of %s", s.Orders, s.User))
	return "T-" + base32.StdEncoding.EncodeToString(sum[:10])
}

// cart names the customer's cart to the component.
func (s session) cart() cart.Request {
	return cart.Request{User: s.User, Lines: s.Lines, Currency: s.Currency}
}

func (s session) equal(other session) bool {
	return s.User == other.User && s.Currency == other.Currency && s.Orders == other.Orders &&
		slices.Equal(s.Lines, other.Lines)
}

// jar reads and writes sessions.
type jar struct {
	key []byte
}

// read returns the session of a request, a new one if there is none, and whether there was one
// whose signature is wrong.
func (j jar) read(r *http.Request) (s session, forged bool) {
	s = session{Currency: money.Codes()[0]}
	if user, err := r.Cookie(userCookie); err == nil && validUser(user.Value) {
		s.User = user.Value
	}
	sealed, err := r.Cookie(sessionCookie)
	if err == nil && s.User != "" {
		opened, ok := j.open(s.User, sealed.Value)
		if ok {
			return opened, false
		}
		forged = true
	}
	if s.User == "" {
		s.User = strings.ToLower(rand.Text())
	}
	return s, forged
}

// write sends what has changed since read.
func (j jar) write(w http.ResponseWriter, r *http.Request, now session) {
	before, forged := j.read(r)
	cookie := http.Cookie{
		Path:     "/",
		MaxAge:   keepFor,
		HttpOnly: true,
		Secure:   r.TLS != nil,
		SameSite: http.SameSiteLaxMode,
	}
	if before.User != now.User {
		cookie.Name, cookie.Value = userCookie, now.User
		http.SetCookie(w, &cookie)
		before.User = now.User
	}
	if forged || !before.equal(now) {
		cookie.Name, cookie.Value = sessionCookie, j.seal(now)
		http.SetCookie(w, &cookie)
	}
}

func (j jar) seal(s session) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a session does not marshal: %v", err)) // it has strings and numbers only
	}
	payload := base64.RawURLEncoding.EncodeToString(data)
	return payload + "." + j.sign(s.User, payload)
}

func (j jar) open(user, sealed string) (session, bool) {
	payload, signature, _ := strings.Cut(sealed, ".")
	if !hmac.Equal([]byte(signature), []byte(j.sign(user, payload))) {
		return session{}, false
	}
	data, err := base64.RawURLEncoding.DecodeString(payload)
	s := session{User: user}
	if err != nil || json.Unmarshal(data, &s) != nil || !money.Known(s.Currency) {
		return session{}, false
	}
	return s, true
}

func (j jar) sign(user, payload string) string {
	mac := hmac.New(sha256.New, j.key)
	fmt.Fprintf(mac, "shop session\n%s\n%s", user, payload)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// validUser reports whether a name is one that this shop could have given.
func validUser(name string) bool {
	return len(name) >= 8 && len(name) <= 64 && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}
