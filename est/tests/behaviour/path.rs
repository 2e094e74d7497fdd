//! Paths: what they name, and why others name nothing.

use brski_est::path::{self, Label, Operation, PathError, Request};

const ID: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

fn parse(rest: &str) -> Result<Request, PathError> {
    Request::parse(&format!("/.well-known/est{rest}"))
}

#[test]
fn every_operation_is_found_with_and_without_a_label() {
    for operation in Operation::ALL {
        let id = if operation == Operation::RenewalInfo { format!("/{ID}") } else { String::new() };
        let plain = parse(&format!("/{operation}{id}")).unwrap();
        assert_eq!((plain.label(), plain.operation()), (None, operation));
        let labelled = parse(&format!("/plant-7.a_B/{operation}{id}")).unwrap();
        assert_eq!(labelled.label().map(Label::as_str), Some("plant-7.a_B"));
        assert_eq!(labelled.operation(), operation);
        let ids = [plain, labelled].map(|each| each.certificate_id().map(ToString::to_string));
        let expected = (operation == Operation::RenewalInfo).then(|| ID.to_owned());
        assert_eq!(ids, [expected.clone(), expected]);
        let label = Label::parse("x").unwrap();
        let written = [path::of(None, operation), path::of(Some(&label), operation)];
        for path in written {
            assert_eq!(Request::parse(&format!("{path}{id}")).unwrap().operation(), operation);
        }
    }
    assert_eq!(parse("/fullcmc").unwrap().operation().method(), "POST");
    assert_eq!(parse("/cacerts").unwrap().operation().method(), "GET");
}

#[test]
fn escapes_are_undone_and_one_slash_at_the_end_passes() {
    for path in ["/cacerts/", "/ca%63erts", "/%63%61certs", "/plant%2D7/cacerts/"] {
        assert_eq!(parse(path).unwrap().operation(), Operation::CaCerts, "{path}");
    }
    let request = Request::parse("/%2Ewell-known/est/plant%2d7/renewal-info/").unwrap_err();
    assert_eq!(request, PathError::CertificateId);
    assert!(parse(&format!("/renewal-info/{ID}/")).is_ok());
    assert_eq!(parse("/plant%2D7/cacerts").unwrap().label().unwrap().to_string(), "plant-7");
}

#[test]
fn other_paths_are_refused_by_name() {
    let long = "x".repeat(65);
    for (path, error) in [
        ("", PathError::NotEst),
        ("/", PathError::NotEst),
        ("/a/b/cacerts", PathError::NotEst),
        ("/cacerts/x/y", PathError::NotEst),
        ("/nothing", PathError::Operation),
        ("/CACERTS", PathError::Operation),
        ("/label/nothing", PathError::Operation),
        ("/cacerts//", PathError::Operation),
        ("/cacerts/x", PathError::Operation),
        ("/%zz", PathError::Operation),
        ("/%ff", PathError::Escape),
        ("//cacerts", PathError::LabelLength),
        (&format!("/{long}/cacerts"), PathError::LabelLength),
        ("/a%2fb/cacerts", PathError::LabelCharacters),
        ("/a b/cacerts", PathError::LabelCharacters),
        ("/a%00/cacerts", PathError::LabelCharacters),
        ("/%e2%82%ac/cacerts", PathError::LabelCharacters),
        ("/./cacerts", PathError::LabelCharacters),
        ("/../cacerts", PathError::LabelCharacters),
        ("/%2e%2e/cacerts", PathError::LabelCharacters),
        ("/simpleenroll/cacerts", PathError::LabelIsOperation(Operation::SimpleEnroll)),
        ("/renewal-info/cacerts", PathError::CertificateId),
        ("/renewal-info", PathError::CertificateId),
        ("/renewal-info/x", PathError::CertificateId),
        ("/label/renewal-info/a.b.c", PathError::CertificateId),
        (&format!("/cacerts/renewal-info/{ID}"), PathError::LabelIsOperation(Operation::CaCerts)),
    ] {
        assert_eq!(parse(path), Err(error), "{path}");
    }
    for path in ["/est/cacerts", ".well-known/est/cacerts", "/.well-known/EST/cacerts", "*", ""] {
        assert_eq!(Request::parse(path), Err(PathError::NotEst), "{path}");
    }
    let long = format!("/.well-known/est/{}", "a/".repeat(300));
    assert_eq!(Request::parse(&long), Err(PathError::TooLong { octets: long.len() }));
}

#[test]
fn no_label_is_an_operations_name() {
    for operation in Operation::ALL {
        let refused = Label::parse(operation.segment()).unwrap_err();
        assert_eq!(refused, PathError::LabelIsOperation(operation));
        assert!(refused.to_string().contains(operation.segment()), "{refused}");
    }
    Label::parse(&"x".repeat(64)).unwrap();
    Label::parse("cacerts2").unwrap();
}
