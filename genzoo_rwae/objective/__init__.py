"""The objective: reconstruction cost plus weighted penalties on codes.

    Σ_t E c(x_t, G(z_t)) + β1 D(Q_{z^c}, P_{z^c}) + β2 Σ_t D(Q_{z^m_t | z^m_<t}, P_{z^m_t | z^m_<t})

and, beyond the published objective and only where a spec asks for them, a penalty on the dependence
of z^c and z^m, and a price on the information in a code.

Source: Han et al., Disentangled Recurrent Wasserstein Autoencoder, arXiv 2101.07496. What is
compared in the dynamic term is a choice (`given`), since the paper leaves it open.
"""

from genzoo_rwae.objective.objective import NotFiniteError, Objective, Terms
from genzoo_rwae.objective.wiring import law_of, takes_laws

__all__ = ["NotFiniteError", "Objective", "Terms", "law_of", "takes_laws"]
