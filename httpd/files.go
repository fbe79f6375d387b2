package httpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Files serves the files of a folder. What it answers is what is there at that moment.
//
//   - A folder is its file index.html. Its path ends with a slash; other paths of it are redirected there.
//   - Nothing outside of the folder is served, whatever a path or a symbolic link says; nor is what begins with a
//     dot, but for /.well-known.
//   - Answers have a tag, the time of the last change, and ranges, so clients ask only for what they lack.
//   - Where page.html.br, page.html.zst or page.html.gz is beside page.html, clients that understand it get that.
//   - Files of 64 KiB or less are kept in memory, 64 MiB of them at most.
//
// It is safe for concurrent use.
type Files struct {
	// Servlets returns who answers for a file of the folder whose name ends with .wasm, in the place of its content, and
	// for paths below it. It is set before the first request, to the Handler of package servlet; nil serves the content.
	Servlets func(folder *os.Root, name string) http.Handler

	root *os.Root
	kept *cache
}

const (
	keptMost = 64 << 10 // larger files are sent by the kernel, which is cheaper than a copy of ours
	cacheMax = 64 << 20
	index    = "index.html"
)

// Open returns the files of a folder.
func Open(folder string) (*Files, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the folder: %w", err)
	}
	return &Files{root: root, kept: newCache(cacheMax)}, nil
}

// Close gives the folder back.
func (f *Files) Close() error { return f.root.Close() }

// ServeHTTP answers GET and HEAD; servlets answer what they will.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, code := nameOf(r.URL)
	if servlet := f.servlet(name, code); servlet != nil {
		servlet.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed)
		return
	}
	switch code {
	case http.StatusOK:
	case http.StatusMovedPermanently:
		redirect(w, r, name)
		return
	default:
		fail(w, code)
		return
	}

	info, err := f.root.Stat(name)
	folder := strings.HasSuffix(r.URL.Path, "/")
	switch {
	case err != nil:
	case info.IsDir() && !folder:
		redirect(w, r, r.URL.Path+"/")
		return
	case info.IsDir():
		name = path.Join(name, index)
		info, err = f.root.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrPermission // there is a folder, whose list nobody gets
		}
	case folder:
		err = fs.ErrNotExist
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = f.deliver(w, r, name, info)
	}
	if err != nil {
		fail(w, codeOf(err))
	}
}

// servlet returns the servlet that a name is that of, or above which it is, if there is one.
func (f *Files) servlet(name string, code int) http.Handler {
	if f.Servlets == nil || code != http.StatusOK {
		return nil
	}
	for end, c := range name + "/" {
		if c == '/' && strings.EqualFold(path.Ext(name[:end]), ".wasm") {
			return f.Servlets(f.root, name[:end])
		}
	}
	return nil
}

// deliver answers with a file, or with what was compressed of it beforehand.
func (f *Files) deliver(w http.ResponseWriter, r *http.Request, name string, info fs.FileInfo) error {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	source, stat, coding := name, info, ""
	for _, c := range accepted(r.Header.Values("Accept-Encoding")) {
		packed, err := f.root.Stat(name + c.suffix)
		if err == nil && packed.Mode().IsRegular() {
			source, stat, coding = name+c.suffix, packed, c.name
			break
		}
	}

	content, stat, err := f.content(source, stat)
	if err != nil {
		return err
	}
	if closer, ok := content.(io.Closer); ok {
		defer closer.Close()
	}
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("Content-Type", typeOf(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Etag", tagOf(stat, coding))
	http.ServeContent(w, r, "", stat.ModTime(), content)
	return nil
}

// content returns what is in a file, and what it was when that was read.
func (f *Files) content(name string, info fs.FileInfo) (io.ReadSeeker, fs.FileInfo, error) {
	if data := f.kept.get(name, info); data != nil {
		return bytes.NewReader(data), info, nil
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err = file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	if info.Size() > keptMost {
		return file, info, nil
	}

	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, info.Size()))
	if err != nil {
		return nil, nil, err
	}
	f.kept.put(name, info, data, time.Now())
	return bytes.NewReader(data), info, nil
}

// tagOf returns the entity tag of a file: another one when the file has changed.
func tagOf(info fs.FileInfo, coding string) string {
	tag := strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36)
	if coding != "" {
		tag += "-" + coding
	}
	return `"` + tag + `"`
}

// typeOf returns the media type of a file. One that is not known is not guessed from what is in the file, for
// whoever may write text into it could have it be a page.
func typeOf(name string) string {
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// codeOf returns the status for an error of the file system. What a path cannot name is not there, whatever the
// reason; a path that leads out of the folder is such a path.
func codeOf(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return http.StatusServiceUnavailable
	case errors.Is(err, syscall.EIO), errors.Is(err, fs.ErrClosed):
		return http.StatusInternalServerError
	}
	return http.StatusNotFound
}

// fail answers with the text of a status.
func fail(w http.ResponseWriter, code int) { http.Error(w, http.StatusText(code), code) }

// redirect sends the client to another path of this site, with the same query.
func redirect(w http.ResponseWriter, r *http.Request, to string) {
	at := *r.URL
	at.Scheme, at.Host, at.User, at.Path, at.RawPath = "", "", nil, to, ""
	http.Redirect(w, r, at.String(), http.StatusMovedPermanently)
}
