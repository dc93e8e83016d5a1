// Package mail sends e-mail over SMTP.
//
// A message has a plain text and an HTML part, and a Message-ID that its sender chooses: the same for every try, so that
// mailboxes which look at it show a repeated message once. SMTP itself drops no twins. What Send answers therefore tells
// apart what has certainly not been taken (ErrNotTaken, for ever with ErrRefused) and what nobody can know: a connection
// that broke after the message had been sent and before the server answered.
//
// TLS is used where the server offers it, or always (Config.RequireTLS). A password is never sent without it.
package mail
