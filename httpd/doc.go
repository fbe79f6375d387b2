// Package httpd serves a site: the files of a folder, and what other programs answer below paths of their own.
// The command divisi httpd is this package with flags; a program of one's own gives a [Site] to a server of
// package [net/http], and Go handlers in the place of programs.
//
//	files, err := httpd.Open("www")
//	if err != nil {
//		return err
//	}
//	site := &httpd.Site{Files: files, Handlers: map[string]http.Handler{"/time": clock}}
//	l, err := serve.Listener("httpd", "localhost:8080")
//	if err != nil {
//		return err
//	}
//	return serve.Run(ctx, serve.Server(l, site.Server()))
package httpd
