package dashboard

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// guarded has a handler answer the owner of the page only, on this machine, and change something only when the
// page itself asks for it: another site that a browser shows must not, whatever the browser sends along.
func (p *Page) guarded(h http.Handler) http.Handler {
	return localOnly(http.NewCrossOriginProtection().Handler(p.ownerOnly(h)))
}

// localOnly refuses requests under a name that is not this machine's own: a page elsewhere could
// have its name resolve to this address.
func localOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		host = strings.Trim(host, "[]")
		if ip := net.ParseIP(host); !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this page is for this machine only", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// cookie returns the name of what a browser shows after it has shown the token once. Browsers keep the cookies
// of all ports of a host together, so that each page has a name of its own.
func cookie(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return "divisi"
	}
	return "divisi-" + port
}

// ownerOnly refuses requests without the token: other users of this machine reach the page as well,
// and the log is not for them. The token is in the cookie, in a parameter, or that of an
// Authorization of the kind Bearer.
func (p *Page) ownerOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.URL.Query().Get("token")
		bearer, hasBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		kept, err := r.Cookie(cookie(r))
		switch {
		case r.URL.Path == "/healthz":
		case p.isToken(given) && r.URL.Path == "/":
			http.SetCookie(w, &http.Cookie{Name: cookie(r), Value: p.token, Path: "/",
				HttpOnly: true, SameSite: http.SameSiteStrictMode})
			w.Header().Set("Referrer-Policy", "no-referrer")
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		case p.isToken(given), hasBearer && p.isToken(bearer), err == nil && p.isToken(kept.Value):
		default:
			http.Error(w, "open this page at the address that divisi status or divisi dashboard shows, which has a token",
				http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (p *Page) isToken(s string) bool {
	return subtle.ConstantTimeCompare([]byte(s), []byte(p.token)) == 1
}
