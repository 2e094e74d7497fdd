//! What an ACME CA does wrong, on demand.

/// What an ACME CA does wrong, on demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaLie {
    /// Nothing.
    #[default]
    None,
    /// Certifies a key that it made up.
    OtherKey,
    /// Certifies another name.
    OtherName,
    /// Certifies a second name.
    SecondName,
    /// Certifies no name.
    NoName,
    /// Certifies an IP address, too.
    Address,
    /// Issues what has ended.
    Expired,
    /// Issues what has not begun.
    Early,
    /// Issues for a hundred years.
    Eternal,
    /// Issues without clientAuth.
    NoClientUsage,
    /// Issues the certificate of a CA.
    AsCa,
    /// Issues with a signature that does not hold.
    Forged,
    /// Issues under a root that nobody was told of.
    UnknownRoot,
    /// Sends a chain of two CAs that vouch for each other.
    Loop,
    /// Leaves the intermediate out.
    LeafOnly,
    /// Sends a private key among the certificates.
    PrivateKey,
    /// Sends thirteen certificates.
    TooMany,
    /// Sends a chain of 200 KiB.
    LongChain,
    /// Sends something that is no chain.
    GarbageChain,
    /// Sends a chain without an end.
    HugeChain,
    /// Begins to send a chain and never ends.
    SlowChain,
    /// Answers an order with a page for people.
    Html,
    /// Sends whoever orders to another server.
    Redirect,
    /// Names another server's order.
    ForeignOrder,
    /// Names no order.
    NoLocation,
    /// Names something as the order that is no URL.
    BadLocation,
    /// Names another server's authorization.
    ForeignAuthorization,
    /// Wants the CSR at another server.
    ForeignFinalize,
    /// Names another server's certificate.
    ForeignCertificate,
    /// Gives nonces that are none.
    BadNonce,
    /// Takes no nonce.
    NoNonce,
    /// Is at work for ever.
    Processing,
    /// Ends orders without a word.
    Invalid,
    /// Offers no challenge that is known.
    NoChallenge,
    /// Offers challenges with a token that is none.
    BadToken,
    /// Wants a name proven that nobody ordered.
    OtherAuthorization,
    /// Refuses the CSR with words that move a terminal's cursor.
    HostileProblem,
    /// Refuses the name.
    Rejects,
    /// Says that too much was ordered.
    Limits,
    /// Fails: 500.
    Fails,
    /// Wants its terms read by a person.
    Terms,
}
