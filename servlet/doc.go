// Package servlet runs programs that are files of a site: a request for hello.wasm is answered by what that program
// writes. It is for package httpd; divisi httpd --servlets is both together.
//
//	servlets, err := servlet.New(servlet.Options{})
//	if err != nil {
//		return err
//	}
//	defer servlets.Close()
//	files.Servlets = servlets.Handler
//
// A servlet is a WebAssembly module of WASI preview 1, and speaks CGI (RFC 3875): it has the request in its environment
// and on its standard input, and writes the answer to its standard output. What it writes to its standard error is
// logged. In Go it is an [net/http.Handler]:
//
//	func main() {
//		if len(os.Args) > 1 && os.Args[1] == "init" {
//			return
//		}
//		if err := cgi.Serve(http.HandlerFunc(hello)); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// built by GOOS=wasip1 GOARCH=wasm go build -o www/hello.wasm.
//
//   - Each request has an instance of its own, with memory of its own. An instance has no files, no network, and no
//     environment but the request's and that of [Options].
//   - A file is compiled when it is first asked for, unless that is kept from before ([Options.Kept]), and then run once
//     with the argument init; exit code 0 says that it can be used. When the file changes, requests have the version
//     before until that is so for the next one; when it never is, they keep that version, and the log and
//     [Servlets.Status] say why.
//   - An instance has bounds for its time, memory and answer. One that exceeds them, traps, or ends with another exit
//     code than 0, is answered with 500, or 504 if its time was over, and costs that request only. For that, an answer
//     begins when the servlet has ended.
package servlet
