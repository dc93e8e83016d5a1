// Package sqldb is Cellar's only door to SQL, and the only importer of the driver.
//
// One SQL text serves CockroachDB and PostgreSQL. Each statement is declared once, as a
// package-level Statement, which makes the list of all statements complete: tests render
// every one for CockroachDB, and plan every one on PostgreSQL. The few places where the
// texts must differ are marked inside the statement:
//
//	/*@CRDB text @*/       text only on CockroachDB
//	/*@PG text @*/         text only on PostgreSQL
//	/*@LOCALITY text @*/   LOCALITY text, only on CockroachDB
//
// # Transactions
//
// InTx runs a closure that may run more than once, so it touches nothing but its Tx. On
// CockroachDB it runs at SERIALIZABLE through cockroach-go. On PostgreSQL it runs at READ
// COMMITTED through a loop of our own, because cockroach-go takes the RELEASE of a
// savepoint for the commit and drops what COMMIT itself answers, which on PostgreSQL loses
// transactions silently. Statements are therefore written to be right at READ COMMITTED:
// guarded updates, explicit row locks, unique keys for idempotency.
//
// A commit whose outcome cannot be known is ErrAmbiguous. Callers that are idempotent run
// again; nobody may take it for a failure.
package sqldb
