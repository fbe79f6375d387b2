package httpd

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// nameOf returns the name of the file that a path means, below the folder of the site, with the status 200. If the
// path has another spelling, it returns that one with the status 301; in all other cases only a status.
func nameOf(u *url.URL) (name string, code int) {
	p := u.Path
	if !strings.HasPrefix(p, "/") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return "", http.StatusBadRequest
	}
	// A slash that is written as %2F belongs to a name, and no file has such a name. Names are UTF-8, as those of io/fs.
	if strings.Contains(strings.ToUpper(u.RawPath), "%2F") || !utf8.ValidString(p) {
		return "", http.StatusNotFound
	}

	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		if strings.HasPrefix(s, ".") && s != "." && (i > 0 || s != ".well-known") {
			return "", http.StatusNotFound
		}
	}
	clean := path.Clean(p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	if clean != p {
		return clean, http.StatusMovedPermanently
	}
	if p == "/" {
		return ".", http.StatusOK
	}
	return strings.Trim(p, "/"), http.StatusOK
}

// coding is a way in which a file may have been compressed.
type coding struct{ name, suffix string }

// codings are those that a client may get, the smallest first.
var codings = []coding{{"br", ".br"}, {"zstd", ".zst"}, {"gzip", ".gz"}}

// accepted returns the codings that a client understands by its headers Accept-Encoding, those that it likes best
// first.
func accepted(headers []string) []coding {
	if len(headers) == 0 {
		return nil
	}
	weights := map[string]float64{}
	for part := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		name, parameters, _ := strings.Cut(part, ";")
		weight := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q=")
			if !ok {
				continue
			}
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
			weight = q
		}
		weights[strings.ToLower(strings.TrimSpace(name))] = weight
	}

	weightOf := func(c coding) float64 {
		if w, ok := weights[c.name]; ok {
			return w
		}
		return weights["*"]
	}
	var all []coding
	for _, c := range codings {
		if weightOf(c) > 0 {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b coding) int {
		switch x, y := weightOf(a), weightOf(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return all
}
